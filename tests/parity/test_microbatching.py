"""Microbatching against Optax: signatures, values, which rows make a part, and early stops."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax.microbatching as peer
import pytest

from nablax import runtime

X = jax.random.normal(jax.random.key(0), (8, 3))


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


@pytest.mark.parametrize("kind", ["MEAN", "SUM", "RUNNING_MEAN", "CONCAT"])
@pytest.mark.parametrize("real", [None, 3])
def test_values(kind, real):
    for name, fun in (("microbatch", lambda x: jnp.sin(x)), ("micro_vmap", lambda x: jnp.sin(x).sum())):
        results = []
        for module, types in ((runtime, runtime), (peer, peer)):
            kw = {
                "accumulator": types.AccumulationType[kind],
                "num_real_microbatches": real,
                "microbatch_size": 2,
            }
            wrapper = getattr(module, name)
            results.append((wrapper(fun, 0, **kw) if name == "microbatch" else wrapper(fun, **kw))(X))
        np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-7)


def test_gradients():
    def loss(w, x, y):
        return jnp.mean((x @ w - y) ** 2)

    kw = {"batch_argnums": (1, 2), "microbatch_size": 4, "metrics_fn": jnp.linalg.norm}
    args = jnp.arange(3.0), X, jnp.ones(8)
    got, want = (m.micro_grad(loss, **kw)(*args) for m in (runtime, peer))
    assert got[1]._fields == want[1]._fields
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
