"""The assignment wing against the installed Optax: names, signatures, costs."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax.assignment as theirs
import pytest

import nablax.assignment as ours

NAMES = ("base_hungarian_algorithm", "hungarian_algorithm")
SHAPES = {jnp.float32: (7, 4), jnp.float64: (5, 8)}  # square ones against scipy, in tests/assignment


def matrices(shape):
    """Random ones, small integers with many ties, one value alone, and all rows wanting the same columns."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [
            rng.normal(size=(4, *shape)),
            rng.integers(0, 3, (3, *shape)),
            np.ones((1, *shape)),
            np.broadcast_to(np.arange(shape[1]), (1, *shape)),
            -np.outer(np.arange(shape[0]) + 1.0, np.arange(shape[1]) + 1.0)[None],
        ]
    )


def test_names_and_signatures():
    for module in (ours, theirs):
        functions = [n for n, v in vars(module).items() if not n.startswith("_") and inspect.isfunction(v)]
        assert sorted(functions) == list(NAMES)
    for name in NAMES:
        mine, reference = (inspect.signature(getattr(m, name)).parameters.values() for m in (ours, theirs))
        assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in reference]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (5, 5), (4, 7), (7, 4)])
def test_the_same_pairs_in_the_same_order(shape):
    """Also where several assignments cost the least, and mapped."""
    batch = jnp.asarray(matrices(shape), jnp.float32)
    mine, expected = (jax.jit(jax.vmap(m.hungarian_algorithm))(batch) for m in (ours, theirs))
    for a, b in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(ours.hungarian_algorithm(batch[5]), expected, strict=True):
        np.testing.assert_array_equal(a, b[5])


@functools.cache
def assignments(module, dtype):
    """Of all matrices by both algorithms, mapped by vmap, in one compiled program."""
    with jax.enable_x64(dtype == jnp.float64):
        every = jax.jit(lambda batch: [jax.vmap(getattr(module, name))(batch) for name in NAMES])
        return jax.tree.map(np.asarray, every(jnp.asarray(matrices(SHAPES[dtype]), dtype)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_kinds_and_least_costs(dtype):
    """Which of several assignments of one cost is found is not compared."""
    tolerance = 1e-12 if dtype == jnp.float64 else 1e-6
    batch = matrices(SHAPES[dtype]).astype(dtype).astype(np.float64)
    for mine, expected in zip(assignments(ours, dtype), assignments(theirs, dtype), strict=True):
        assert [(x.shape, x.dtype) for x in mine] == [(x.shape, np.int32) for x in expected]
        for cost, i, j, k, l in zip(batch, *mine, *expected, strict=True):
            assert len(set(i)) == len(set(j)) == min(cost.shape)
            np.testing.assert_allclose(cost[i, j].sum(), cost[k, l].sum(), rtol=tolerance, atol=tolerance)
