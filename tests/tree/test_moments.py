"""Moments against the formulas in plain floats, and their precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import tree


@pytest.mark.parametrize("order", [1, 2, 3])
def test_update_moment(order):
    result = tree.update_moment({"a": jnp.array([-2.0, 3.0])}, {"a": jnp.array([5.0, 7.0])}, 0.75, order)
    expected = [0.75 * 5 + 0.25 * (-2) ** order, 0.75 * 7 + 0.25 * 3**order]
    np.testing.assert_allclose(result["a"], expected, rtol=1e-6)


@pytest.mark.parametrize("order", [1, 1.5, 2, 3, 4])
def test_update_moment_per_elem_norm(order):
    result = tree.update_moment_per_elem_norm([-2.0, 3 + 4j], [5.0, 7.0], 0.75, order)
    np.testing.assert_allclose(result[0], 0.75 * 5 + 0.25 * 2**order, rtol=1e-6)
    np.testing.assert_allclose(result[1], 0.75 * 7 + 0.25 * 5**order, rtol=1e-6)
    assert result[1].dtype == jnp.float32


def test_update_infinity_moment():
    result = tree.update_infinity_moment([-3.0, 3 + 4j, 1.0], [4.0, 4.0, 8.0], 0.5, 0.25)
    np.testing.assert_allclose(result, [3.25, 5.25, 4.0], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3, jnp.int32(3)])
def test_bias_correction(count):
    result = tree.bias_correction([jnp.array(2.0)], 0.9, count)
    np.testing.assert_allclose(result[0], 2 / (1 - 0.9 ** int(count)), rtol=1e-6)


def test_trap_a_bfloat16_second_moment_decays():
    m = [jnp.array(1.0, jnp.float32)]
    for _ in range(200):
        m = tree.update_moment_per_elem_norm([jnp.zeros((), jnp.bfloat16)], m, 0.99, 2)
    np.testing.assert_allclose(m[0], 0.99**200, rtol=1e-4)  # bfloat16 arithmetic would stall


def test_trap_decay_is_not_rounded_to_the_gradients_dtype():
    result = tree.update_moment([jnp.zeros((), jnp.bfloat16)], [jnp.ones((), jnp.float32)], 0.999, 2)
    np.testing.assert_allclose(result[0], 0.999, rtol=1e-6)  # 1.0 if 0.999 were bfloat16
    one = tree.update_moment([jnp.ones(())], [jnp.zeros(())], 0.999, 2)
    np.testing.assert_allclose(one[0], 0.001, rtol=1e-6)  # 1 - 0.999 in float32 is off by 5e-5


@pytest.mark.parametrize("moment_dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("gradient_dtype", [jnp.bfloat16, jnp.float32])
def test_a_moment_keeps_its_dtype_under_scan(moment_dtype, gradient_dtype):
    gradient = [jnp.ones(2, gradient_dtype)]

    def step(m, _):
        m = tree.update_moment(gradient, m, 0.9, 1)
        m = tree.update_moment_per_elem_norm(gradient, m, 0.9, 2)
        return tree.bias_correction(tree.update_infinity_moment(gradient, m, 0.9, 1e-8), 0.9, 3), None

    assert jax.lax.scan(step, [jnp.zeros(2, moment_dtype)], length=2)[0][0].dtype == moment_dtype


def test_float16_gradients_of_300_do_not_overflow_on_the_way():
    result = tree.update_moment([jnp.float16(300)], [jnp.float16(0)], 0.5, 2)
    assert result[0].dtype == jnp.float16
    np.testing.assert_allclose(result[0], 45000.0, rtol=1e-3)


def test_none_updates_leave_the_moment():
    m = jnp.array(1.5)
    for update in (tree.update_moment, tree.update_moment_per_elem_norm, tree.update_infinity_moment):
        result = update([None, None, 1.0], [m, None, 1.0], 0.5, 1)
        assert result[0] is m
        assert result[1] is None
    assert tree.bias_correction([None], 0.5, 1) == [None]


def test_an_update_without_a_moment_is_refused():
    with pytest.raises(ValueError, match=r"tree.update_infinity_moment: a leaf has an update, but None"):
        tree.update_infinity_moment([jnp.array(1.0)], [None], 0.5, 0.0)


def test_an_imaginary_part_is_never_lost_silently():
    with pytest.raises(ValueError, match="updates are complex, but their moment is float32"):
        tree.update_moment([1 + 1j], [jnp.array(1.0)], 0.5, 1)


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        result = tree.update_moment([jnp.array(1 / 3)], [jnp.array(0.0)], 0.9, 1)
        assert result[0].dtype == jnp.float64
        np.testing.assert_allclose(result[0], (1 - 0.9) / 3, rtol=1e-15)
