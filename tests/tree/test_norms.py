"""Norms: the traps of half precision, mixed and complex leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import tree


@pytest.mark.parametrize(
    ("ord", "expected"), [(None, 13.0), (2, 13.0), (1, 19.0), ("inf", 12.0), (np.inf, 12.0)]
)
def test_orders(ord, expected):
    t = {"a": jnp.array([3.0, -4.0]), "b": None, "c": -12.0}
    np.testing.assert_allclose(tree.norm(t, ord), expected, rtol=1e-6)
    np.testing.assert_allclose(tree.norm(t, ord, squared=True), expected**2, rtol=1e-6)


def test_trap_bfloat16_norm_of_3000_leaves_of_four_ones():
    leaves = [jnp.ones(4, jnp.bfloat16)] * 3000
    norm = tree.norm(leaves)
    assert norm.dtype == jnp.float32
    np.testing.assert_allclose(norm, np.sqrt(12000.0), rtol=1e-6)  # 109.5; a bfloat16 sum stalls at 32
    np.testing.assert_allclose(tree.norm(leaves, 1), 12000.0)


def test_trap_float16_gradients_of_300_do_not_overflow():
    t = {"a": jnp.full((4,), 300.0, jnp.float16)}
    np.testing.assert_allclose(tree.norm(t), 600.0)
    np.testing.assert_allclose(tree.norm(t, squared=True), 360000.0)


def test_trap_mixed_dtypes():
    t = [jnp.full(2, 3.0, jnp.bfloat16), jnp.full(2, 4.0, jnp.float16), jnp.array([5]), jnp.array(0.0)]
    assert tree.norm(t).dtype == jnp.float32
    np.testing.assert_allclose(tree.norm(t), np.sqrt(75.0), rtol=1e-6)


def test_complex_numbers_count_by_absolute_value():
    t = [jnp.array([3 + 4j]), jnp.array(12.0)]
    assert tree.norm(t).dtype == jnp.float32
    np.testing.assert_allclose(tree.norm(t), 13.0, rtol=1e-6)
    np.testing.assert_allclose(tree.norm(t, 1), 17.0, rtol=1e-6)
    np.testing.assert_allclose(tree.norm(t, "inf"), 12.0)


@pytest.mark.parametrize("ord", [None, 1, "inf"])
def test_a_tree_without_elements_has_norm_zero(ord):
    assert float(tree.norm({}, ord)) == 0.0
    assert float(tree.norm([None, jnp.zeros((0, 3))], ord)) == 0.0
    assert tree.norm({}, ord).dtype == jnp.float32


def test_float64_stays_float64():
    with jax.enable_x64(True):
        norm = tree.norm([jnp.array([1e-9, 1.0]), jnp.ones(1, jnp.bfloat16)])
        assert norm.dtype == jnp.float64
        np.testing.assert_allclose(norm, np.sqrt(2.0 + 1e-18), rtol=1e-15)


def test_nan_is_not_hidden():
    for ord in (1, 2, "inf"):
        assert np.isnan(tree.norm([jnp.ones(2), jnp.array([1.0, jnp.nan])], ord))


def test_gradient_of_the_squared_norm():
    t = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.0)}
    gradient = jax.jit(jax.grad(lambda x: tree.norm(x, squared=True)))(t)
    assert tree.allclose(gradient, tree.scale(2.0, t))


@pytest.mark.parametrize("ord", [3, "2", -np.inf, "fro"])
def test_other_orders_are_refused(ord):
    with pytest.raises(ValueError, match=r"tree.norm: ord must be None, 1, 2 or inf, got"):
        tree.norm([1.0], ord)
