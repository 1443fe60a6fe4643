"""Assignments against scipy's: random, degenerate, rectangular; jitted, mapped; forbidden pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from nablax.assignment import base_hungarian_algorithm, hungarian_algorithm
from nablax.core._errors import ArgumentError, StructureError

ALGORITHMS = [hungarian_algorithm, base_hungarian_algorithm]


def costs(shape):
    """Matrices that are hard in different ways."""
    rng = np.random.default_rng(0)
    n, m = shape
    yield from rng.normal(size=(6, *shape))
    yield from rng.integers(0, 3, (6, *shape))  # ties
    yield from 1e4 * rng.normal(size=(2, *shape))
    yield np.outer(np.arange(n) + 1, np.arange(m) + 1)  # the longest paths
    yield -np.outer(np.arange(n) + 1, np.arange(m) + 1)
    yield np.zeros(shape)
    yield np.ones(shape) * np.arange(m)  # all rows want the same columns
    yield (np.arange(n)[:, None] == np.arange(m)) * -1.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (16, 16)])
def test_cost_is_scipys(algorithm, shape):
    batch = np.stack(list(costs(shape))).astype(np.float32)
    rows, columns = jax.jit(jax.vmap(algorithm))(batch)
    for cost, i, j in zip(batch, np.asarray(rows), np.asarray(columns), strict=True):
        assert len(i) == len(j) == min(shape)
        assert len(set(i)) == len(set(j)) == len(j)
        if algorithm is base_hungarian_algorithm:
            assert np.all(np.diff(i) > 0)
        expected = cost[linear_sum_assignment(cost)].sum()
        np.testing.assert_allclose(cost[i, j].sum(), expected, rtol=1e-5, atol=1e-5 * np.abs(cost).max())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_forbidden_pairs(algorithm):
    """Infinite costs are avoided where they can be, and taken as seldom as possible where they cannot."""
    inf = np.inf
    cost = np.array([[1.0, inf, 9.0], [0.0, inf, inf], [0.0, 5.0, 0.0]])
    i, j = algorithm(cost)
    np.testing.assert_array_equal(j[jnp.argsort(i)], linear_sum_assignment(cost)[1])
    assert np.isfinite(cost[i, j]).all()
    hopeless = np.array([[1.0, inf, inf], [2.0, inf, inf], [inf, 0.0, inf]])
    i, j = algorithm(hopeless)
    assert sorted(np.asarray(j)) == [0, 1, 2]
    assert np.isinf(hopeless[i, j]).sum() == 1
    assert hopeless[i, j].min() == 0.0
    assert sorted(np.asarray(algorithm(np.full((3, 3), np.nan))[1])) == [0, 1, 2]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_numbers_that_overflow_still_give_an_assignment(algorithm):
    cost = np.array([[3e38, -3e38, 1.0], [-3e38, 3e38, 3e38], [np.inf, 0.0, -np.inf]], np.float32)
    _, j = jax.jit(algorithm)(cost)
    assert sorted(np.asarray(j)) == [0, 1, 2]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_kinds_and_shapes(algorithm):
    integers = jnp.array([[8, 4, 7], [5, 2, 3], [9, 6, 7], [9, 4, 8]])
    i, j = algorithm(integers)
    assert i.dtype == j.dtype == jnp.int32
    assert integers[i, j].sum() == 15
    half = algorithm(integers.astype(jnp.bfloat16))
    assert integers[half].sum() == 15
    for shape in ((0, 3), (3, 0)):
        assert all(x.shape == (0,) for x in algorithm(jnp.zeros(shape)))
    with pytest.raises(StructureError, match=r"cost_matrix must have shape \(rows, columns\), got \(3,\)"):
        algorithm(jnp.zeros(3))
    with pytest.raises(ArgumentError, match="hungarian_algorithm: cost_matrix must be real, got complex64"):
        algorithm(jnp.zeros((2, 2), jnp.complex64))
