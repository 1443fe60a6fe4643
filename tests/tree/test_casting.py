"""Casts and dtypes of trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import tree


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("float16", "float32"),
        (jnp.bfloat16, "float32"),
        (jnp.float8_e4m3fn, "float32"),
        ("float32", "float32"),
        (np.float64, "float64"),
        ("complex64", "complex64"),
        ("complex128", "complex128"),
        ("int8", "int8"),
        (bool, "bool"),
    ],
)
def test_at_least_float32(given, expected):
    assert tree.at_least_float32(given) == jnp.dtype(expected)


def test_at_least_float32_leaves_random_keys_alone():
    dtype = jax.random.key(0).dtype
    assert tree.at_least_float32(dtype) == dtype


def test_cast_takes_every_kind_of_leaf():
    key = jax.random.key(0)
    struct = jax.ShapeDtypeStruct((2,), jnp.float32)
    result = tree.cast([jnp.ones(2), np.ones(2), 1.5, None, key, struct], jnp.bfloat16)
    assert [getattr(x, "dtype", None) for x in result] == [jnp.bfloat16] * 3 + [None, key.dtype, jnp.bfloat16]
    assert isinstance(result[5], jax.ShapeDtypeStruct)


def test_cast_to_none_is_the_tree_itself():
    t = [1, jnp.ones(2)]
    assert tree.cast(t, None) is t


def test_cast_like():
    result = tree.cast_like([jnp.ones(2), jnp.ones(2), None, jnp.ones(1)], [jnp.bfloat16(0), 3, None, None])
    assert [getattr(x, "dtype", None) for x in result] == [jnp.bfloat16, jnp.float32, None, jnp.float32]


@pytest.mark.parametrize(
    "function", [lambda t: tree.cast(t, "float32"), lambda t: tree.cast_like(t, {"w": jnp.ones(1)})]
)
def test_an_imaginary_part_is_never_lost_silently(function):
    with pytest.raises(
        ValueError, match=r"at \['w'\] is complex64 and would lose its imaginary part as float32"
    ):
        function({"w": jnp.ones(1, jnp.complex64)})


def test_complex_precision_can_change():
    with jax.enable_x64(True):
        assert tree.cast([jnp.ones(1, jnp.complex128)], jnp.complex64)[0].dtype == jnp.complex64


def test_dtype_of_equal_leaves():
    assert tree.dtype({"a": jnp.ones(2, jnp.bfloat16), "b": None}) == jnp.bfloat16
    assert tree.dtype({}) == jnp.float32
    assert tree.dtype([1.0]) == jnp.float32


def test_dtype_of_mixed_leaves():
    t = {"a": jnp.float16(1), "b": jnp.float32(1)}
    assert tree.dtype(t, "lowest") == jnp.float16
    assert tree.dtype(t, "highest") == jnp.float32
    assert tree.dtype([jnp.float16(1), jnp.bfloat16(1)], "promote") == jnp.float32
    with pytest.raises(ValueError, match=r"float16 at \['a'\], float32 at \['b'\]"):
        tree.dtype(t)
    with pytest.raises(ValueError, match="no leaf has the highest dtype"):
        tree.dtype([jnp.float16(1), jnp.bfloat16(1)], "highest")
    with pytest.raises(ValueError, match=r"mixed_dtype_handler must be .* got 'widest'"):
        tree.dtype(t, "widest")


def test_filled_trees():
    t = {"a": jnp.full((2, 3), 7.0), "b": jnp.arange(2), "c": None}
    for function, value in (
        (tree.zeros_like, 0),
        (tree.ones_like, 1),
        (lambda *a: tree.full_like(a[0], 4, *a[1:]), 4),
    ):
        own, half = function(t), function(t, jnp.bfloat16)
        assert own["a"].dtype == jnp.float32
        assert own["b"].dtype == jnp.int32
        assert own["c"] is None
        assert half["a"].dtype == half["b"].dtype == jnp.bfloat16
        assert own["a"].shape == (2, 3)
        assert bool((own["a"] == value).all())
        assert bool((half["b"] == value).all())
