"""Microbatching against Optax: signatures, values, which rows make a part, and early stops."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax.microbatching as peer
import pytest

from nablax import runtime

X = np.random.default_rng(0).normal(size=(8, 3))


@pytest.mark.parametrize("name", ["micro_vmap", "micro_grad", "microbatch", "reshape_batch_axis"])
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (runtime, peer))
    assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()]


def test_types():
    assert [(a.name, a.value) for a in runtime.AccumulationType] == [
        (a.name, a.value) for a in peer.AccumulationType
    ]
    fields = inspect.signature(peer.Accumulator).parameters
    assert list(inspect.signature(runtime.Accumulator).parameters) == list(fields)


def by(module, dtype):
    """Each kind of accumulation, early stops and gradients, by one compiled program."""
    kinds = tuple(module.AccumulationType[k] for k in ("MEAN", "SUM", "RUNNING_MEAN", "CONCAT"))

    def every(x):
        for real in (None, 3):
            kw = {"accumulator": kinds, "num_real_microbatches": real, "microbatch_size": 2}
            whole = module.microbatch(lambda x: (jnp.sin(x),) * 4, 0, **kw)
            mapped = module.micro_vmap(lambda x: (jnp.sin(x).sum(),) * 4, **kw)
            yield whole(x), mapped(x)
            if real is None:
                yield jax.grad(lambda x: sum(jnp.sum(v**2) for v in (*whole(x), *mapped(x))))(x)  # noqa: B023
        kw = {"batch_argnums": (1, 2), "microbatch_size": 4, "metrics_fn": jnp.linalg.norm}
        w, y = jnp.arange(3, dtype=dtype), jnp.ones(8, dtype)
        grads, aux = module.micro_grad(lambda w, x, y: jnp.mean((x @ w - y) ** 2), **kw)(w, x, y)
        yield grads, tuple(aux)

    with jax.enable_x64(dtype == jnp.float64):
        return jax.tree.map(np.asarray, jax.jit(lambda x: list(every(x)))(jnp.asarray(X, dtype)))


def test_values_and_gradients():
    """Relative to the largest entry, in float32 of results in float64."""
    expected = by(peer, jnp.float64)
    for dtype, tolerance in ((jnp.float64, 1e-12), (jnp.float32, 1e-6)):
        for a, b in zip(jax.tree.leaves(by(runtime, dtype)), jax.tree.leaves(expected), strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.max(np.abs(b)))


def test_fields_of_what_micro_grad_returns():
    got, want = (
        m.micro_grad(lambda w, x: jnp.sum(w * x))(1.0, jnp.ones((2, 1)))[1]._fields for m in (runtime, peer)
    )
    assert got == want
