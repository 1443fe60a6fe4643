"""tree arithmetic: promotion, None leaves, and errors that name the leaf."""

import jax.numpy as jnp
import numpy as np
import pytest

from nablax import tree

X = {"a": jnp.array([1.0, 2.0]), "b": None, "c": (jnp.array(3.0),)}
Y = {"a": jnp.array([5.0, 7.0]), "b": None, "c": (jnp.array(2.0),)}


def leaves(t):
    assert t["b"] is None
    return [*map(float, t["a"]), float(t["c"][0])]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (tree.add(X, Y), [6, 9, 5]),
        (tree.add(X, Y, X), [7, 11, 8]),
        (tree.sub(X, Y), [-4, -5, 1]),
        (tree.mul(X, Y), [5, 14, 6]),
        (tree.div(Y, X), [5, 3.5, 2 / 3]),
        (tree.scale(-2.0, X), [-2, -4, -6]),
        (tree.add_scale(X, 10.0, Y), [51, 72, 23]),
        (tree.where(jnp.array(False), X, Y), [5, 7, 2]),
        (tree.clip(Y, 3.0), [5, 7, 3]),
        (tree.clip(Y, None, 6.0), [5, 6, 2]),
    ],
)
def test_values_and_none_leaves(result, expected):
    np.testing.assert_allclose(leaves(result), expected, rtol=1e-6)


def test_complex_parts():
    z = [jnp.array(1 + 2j), None, jnp.array(3.0)]
    assert complex(tree.conj(z)[0]) == 1 - 2j
    assert float(tree.real(z)[0]) == 1.0
    assert tree.real(z)[0].dtype == jnp.float32
    assert tree.conj(z)[2].dtype == jnp.float32


def test_dtypes_promote_as_in_jax():
    x = [jnp.ones(2, jnp.bfloat16)]
    assert tree.scale(2.0, x)[0].dtype == jnp.bfloat16
    assert tree.add_scale(x, 2.0, x)[0].dtype == jnp.bfloat16
    assert tree.add(x, [jnp.ones(2)])[0].dtype == jnp.float32


def test_add_scale_skips_where_the_first_tree_is_none():
    assert tree.add_scale([None, jnp.array(1.0)], 2.0, [jnp.array(1.0), jnp.array(1.0)]) == [None, 3.0]


@pytest.mark.parametrize("function", [tree.add, tree.sub, tree.mul, tree.div, tree.vdot, tree.allclose])
def test_a_structure_error_names_function_and_leaf(function):
    with pytest.raises(ValueError, match=rf"tree.{function.__name__}: .*\['a'\]\['w'\]"):
        function({"a": {"w": 1.0}}, {"a": {"v": 1.0}})


def test_a_structure_error_names_the_containers_where_the_leaves_agree():
    with pytest.raises(ValueError, match="different containers"):
        tree.add([1.0], (1.0,))


def test_batch_shape_repeats_along_new_leading_axes():
    result = tree.batch_shape({"a": jnp.arange(3), "b": 2.0}, (2, 1))
    assert result["a"].shape == (2, 1, 3)
    assert result["b"].shape == (2, 1)
    np.testing.assert_array_equal(result["a"][1, 0], [0, 1, 2])


def test_allclose():
    x = [jnp.ones(2), jnp.array(1.0)]
    assert tree.allclose(x, [jnp.ones(2), jnp.array(1.0 + 1e-6)])
    assert not tree.allclose(x, [jnp.ones(2), jnp.array(1.1)])
    assert tree.allclose(x, [jnp.ones(2), jnp.array(1.1)], rtol=0.2)
    nan = [jnp.array(jnp.nan)]
    assert not tree.allclose(nan, nan)
    assert tree.allclose(nan, nan, equal_nan=True)
    assert tree.allclose({}, {})
