"""Sums, inner products and extrema over trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import tree
from nablax.tree._traverse import reduce_scalars


@pytest.mark.parametrize("n", [1, 2, 5, 32, 33, 100])
def test_reduce_scalars_takes_every_scalar_once(n):
    values = [jnp.int32(i) for i in range(n)]
    assert int(reduce_scalars(jax.lax.add, values)) == n * (n - 1) // 2


@pytest.mark.parametrize("flag", [False, True])
def test_sum(flag):
    assert float(tree.sum({"a": jnp.arange(4.0), "b": None, "c": 2}, flag)) == 8.0
    assert tree.sum([], flag) == 0
    assert int(tree.sum([jnp.array([True, True]), jnp.array(True)])) == 3


def test_sum_of_many_half_precision_leaves_does_not_stall():
    leaves = [jnp.ones(4, jnp.bfloat16)] * 300
    assert tree.sum(leaves).dtype == jnp.float32
    assert float(tree.sum(leaves)) == 1200.0  # in bfloat16 the running sum stalls


def test_vdot_conjugates_the_first_tree():
    x, y = [jnp.array([1 + 2j])], [jnp.array([3 - 1j])]
    assert complex(tree.vdot(x, y)) == (1 - 2j) * (3 - 1j)
    assert tree.vdot({}, {}) == 0


def test_vdot_of_half_precision_leaves_is_float32():
    x = [jnp.full(4, 300.0, jnp.float16)] * 50
    assert float(tree.vdot(x, x)) == 200 * 300.0**2


def test_vdot_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match=r"tree.vdot: .*\(2,\) and \(\)"):
        tree.vdot([jnp.ones(2)], [jnp.ones(())])


def test_extrema():
    t = {"a": jnp.array([-3.0, 2.0]), "b": jnp.zeros((0, 2)), "c": None, "d": 1}
    assert float(tree.max(t)) == 2.0
    assert float(tree.min(t)) == -3.0
    assert tree.max([]) == -np.inf
    assert tree.min([jnp.zeros(0)]) == np.inf
    assert np.isnan(tree.max([jnp.array(jnp.nan), 5.0]))
    assert np.isnan(tree.min([1.0, jnp.array([jnp.nan, 5.0])]))


def test_the_maximum_of_integers_is_an_integer():
    assert tree.max([jnp.arange(3), jnp.array(7)]).dtype == jnp.int32


def test_size():
    assert tree.size({"a": np.ones((2, 3)), "b": 1.0, "c": None, "d": jnp.zeros(0)}) == 7
    assert tree.size({}) == 0


def test_reductions_agree_under_jit():
    t = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.array(-1.0)}
    for function in (tree.sum, tree.max, tree.min):
        assert float(jax.jit(function)(t)) == float(function(t))
