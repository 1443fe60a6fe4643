"""Microbatches give what the whole batch gives, in the memory of a part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import ArgumentError, HyperparameterError, StructureError
from nablax.runtime import (
    AccumulationType,
    Accumulator,
    micro_grad,
    micro_vmap,
    microbatch,
    reshape_batch_axis,
)

MEAN, SUM, RUNNING, CONCAT = (AccumulationType[n] for n in ("MEAN", "SUM", "RUNNING_MEAN", "CONCAT"))
X = jax.random.normal(jax.random.key(0), (8, 3))


def test_a_batch_holds_a_key_for_each_example():
    batch = {"x": jnp.ones((4, 2)), "key": jax.random.split(jax.random.key(0), 4)}
    parts = reshape_batch_axis(batch, 2)
    assert parts["key"].shape == (2, 2)
    assert parts["x"].shape == (2, 2, 2)


def test_each_accumulation_gives_the_result_of_the_whole_batch():
    def fun(x, y, scale):
        return {"rows": x * y[:, None], "stats": (x.sum(0) * scale, x.mean(0), (x * scale).mean())}

    how = {"rows": CONCAT, "stats": (SUM, MEAN, RUNNING)}
    y = jnp.arange(8.0)
    for size in (1, 4, None):
        got = jax.jit(microbatch(fun, (0, 1), size, how))(X, y, 2.0)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, fun(X, y, 2.0))


def test_axes_names_and_a_prefix_of_accumulators():
    def fun(x, *, y):
        return jnp.einsum("bi,ib->i", x, y), jnp.einsum("bi,ib->", x, y)

    got = microbatch(fun, 0, 2, SUM, argnames="y", in_axes=(0, 1))(X, y=X.T)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, fun(X, y=X.T))
    assert reshape_batch_axis(X, 2, -2).shape == (4, 2, 3)
    np.testing.assert_array_equal(reshape_batch_axis(X, 2)[1], X[jnp.array([1, 5])])


def test_it_is_differentiable_in_reverse():
    def fun(w, x):
        return jnp.sum(jnp.tanh(x @ w) ** 2)

    w = jnp.arange(3.0)
    g = jax.grad(microbatch(fun, 1, 2))(w, X)
    np.testing.assert_allclose(g, jax.grad(fun)(w, X), rtol=1e-5, atol=1e-6)


def test_a_traced_number_of_parts_stops_early_without_compiling_again():
    traces = []

    @jax.jit
    def f(x, n):
        traces.append(n)
        return microbatch(lambda x: x, 0, 2, CONCAT, num_real_microbatches=n)(x)

    x = jnp.arange(1.0, 9.0)
    np.testing.assert_array_equal(f(x, 2), [1, 2, 0, 0, 5, 6, 0, 0])
    np.testing.assert_array_equal(f(x, 9), x)
    assert len(traces) == 1


def test_sums_of_bfloat16_are_added_up_in_float32():
    x = jnp.concatenate([jnp.array([512.0]), jnp.ones(511)]).astype(jnp.bfloat16)
    total = microbatch(lambda x: x.sum(), 0, 1)(x)
    assert total.dtype == jnp.bfloat16
    np.testing.assert_allclose(float(total), 1023, rtol=2**-8)


def test_an_accumulator_of_the_users():
    largest = Accumulator(
        init=lambda like: jnp.full(like.shape, -jnp.inf),
        update=lambda carry, x, i: jnp.maximum(carry, x),
        finalize=lambda carry: carry,
        aggregate=lambda x: x.max(0),
    )
    got = micro_vmap(lambda x: x**2, microbatch_size=2, accumulator=largest)(X)
    np.testing.assert_allclose(got, jnp.max(X**2, axis=0), rtol=1e-6)


def test_micro_vmap_maps_like_vmap():
    def fun(x, p, *, y):
        return p["a"] * x + p["b"] + y

    p, y = {"a": jnp.arange(24.0).reshape(3, 8), "b": 1.0}, jnp.arange(8.0)
    for axes, given in [((0, {"a": 1, "b": None}), p), ((0, None), {"a": jnp.ones(3), "b": 0.0})]:
        got = micro_vmap(fun, axes, microbatch_size=4)(X, given, y=y)
        np.testing.assert_allclose(got, jax.vmap(fun, axes)(X, given, y=y), rtol=1e-6)
    mean = micro_vmap(lambda x: x.sum(), microbatch_size=2, accumulator=MEAN)(X)
    np.testing.assert_allclose(mean, X.sum() / 8, rtol=1e-5)


def test_micro_grad_transforms_each_example():
    def loss(w, x, scale):
        return jnp.mean(jnp.sum((x - w) ** 2, axis=-1)) * scale, {"shape": jnp.asarray(x.shape[0])}

    w = jnp.array([0.1, -0.2, 0.3])
    each = jax.vmap(lambda x: jax.grad(lambda w: loss(w, x, 2.0)[0])(w))(X)
    f = micro_grad(
        loss, True, microbatch_size=4, accumulator=(SUM, MEAN), transform_fn=lambda g: (jnp.clip(g, -1, 1), g**2),
        metrics_fn=jnp.linalg.norm,
    )  # fmt: skip
    (clipped, squares), aux = jax.jit(f)(w, X, 2.0)
    np.testing.assert_allclose(clipped, jnp.clip(each, -1, 1).sum(0), rtol=1e-5)
    np.testing.assert_allclose(squares, jnp.mean(each**2, axis=0), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics, jnp.linalg.norm(each, axis=1), rtol=1e-5)
    np.testing.assert_allclose(aux.values, 2 * jnp.sum((X - w) ** 2, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(aux.aux["shape"], jnp.ones(8))


def test_bad_arguments():
    with pytest.raises(
        StructureError, match="the batch size must be divisible by microbatch_size, got 8 and 3"
    ):
        microbatch(jnp.sum, 0, 3)(X)
    with pytest.raises(HyperparameterError, match="microbatch_size must be an integer of at least 1, got 0"):
        microbatch(jnp.sum, 0, 0)(X)
    with pytest.raises(StructureError, match=r"batch axes must be of one size, got \[8, 4\]"):
        microbatch(jnp.add, (0, 1), 2)(X, X[:4])
    with pytest.raises(StructureError, match="in_axes must be one integer or 1"):
        microbatch(jnp.sum, 0, 2, in_axes=(0, 1))
    with pytest.raises(StructureError, match="MEAN needs floating-point results, got int32"):
        microbatch(jnp.sum, 0, 2, MEAN)(jnp.arange(8))
    with pytest.raises(StructureError, match="out_axes must be 0, got 1"):
        micro_vmap(jnp.sin, out_axes=1)
    with pytest.raises(
        ArgumentError, match="accumulator must be an AccumulationType or an Accumulator, got str"
    ):
        microbatch(jnp.sum, 0, 2, "sum")(X)
