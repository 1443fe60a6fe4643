"""Dtypes of trees: casts, the dtype in which to compute, and trees filled with one value."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from ._paths import path_str
from ._traverse import is_none, of_arrays


@functools.lru_cache(256)
def at_least_float32(dtype: DTypeLike) -> Any:
    """The dtype in which to compute with, or accumulate, values of `dtype`.

    float32 for floats of fewer than 32 bits (float16, bfloat16, float8, ...); every other dtype is returned
    as it is: integers, complex numbers, random keys.

    >>> at_least_float32("bfloat16"), at_least_float32("float32"), at_least_float32("int8")
    (dtype('float32'), dtype('float32'), dtype('int8'))
    """
    if jnp.issubdtype(dtype, jax.dtypes.extended):  # random keys
        return dtype
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
        return jnp.dtype(jnp.float32)
    return dtype


def as_dtype(who: str, dtype: DTypeLike | None) -> Any:
    """A dtype by its name, a class or an object; None stays None.

    Raises:
      TypeError: nothing is called so.
    """
    try:
        if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended):
            return dtype
        if (found := jnp.dtype(dtype)).hasobject:
            raise TypeError
        return found
    except (TypeError, ValueError):
        raise TypeError(
            f"{who}: dtype must be one, such as jnp.bfloat16 or 'float32', got {dtype!r}."
        ) from None


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)


@functools.partial(jax.jit, static_argnames="dtype")
def _convert(x: jax.Array, dtype: Any) -> jax.Array:
    return x.astype(dtype)


def cast_leaf(who: str, path: Any, leaf: Any, dtype: Any) -> Any:
    """Casts one leaf; random keys stay what they are.

    Raises:
      ValueError: a complex leaf would lose its imaginary part.
    """
    if _is_key(leaf):
        return leaf
    if not hasattr(leaf, "dtype"):
        leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(
            f"{who}: the leaf at {path_str(path)} is {leaf.dtype} and would lose its imaginary part as "
            f"{jnp.dtype(dtype)}. Call tree.real first if that is meant."
        )
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.update(dtype=dtype)
    if isinstance(leaf, jax.Array):
        return _convert(leaf, jnp.dtype(dtype))  # a fifth of the time of an eager astype
    return leaf.astype(dtype)


def cast(tree: Any, dtype: DTypeLike | None) -> Any:
    """Casts every leaf to `dtype`; None casts nothing.

    Random keys are left alone. Shape-and-dtype structs get the new dtype.

    Args:
      tree: arrays, scalars or `jax.ShapeDtypeStruct`s.
      dtype: the new dtype, or None.

    Raises:
      TypeError: there is no such dtype.
      ValueError: a complex leaf would lose its imaginary part.

    >>> cast({"w": jnp.ones(2)}, jnp.bfloat16)
    {'w': Array([1, 1], dtype=bfloat16)}
    """
    dtype = as_dtype("tree.cast", dtype)
    if dtype is None:
        return tree
    return jax.tree_util.tree_map_with_path(lambda path, x: cast_leaf("tree.cast", path, x, dtype), tree)


def cast_like(tree: Any, other_tree: Any) -> Any:
    """Casts every leaf to the dtype of its partner in `other_tree`.

    A leaf whose partner has no dtype (None, a Python scalar) stays what it is.

    Args:
      tree: the tree to cast.
      other_tree: a tree of the same structure.

    Raises:
      ValueError: structures differ, or a complex leaf would lose its imaginary part.

    >>> cast_like([jnp.ones(1), jnp.ones(1)], [jnp.bfloat16(0), 0])
    [Array([1], dtype=bfloat16), Array([1.], dtype=float32)]
    """

    def one(path: Any, leaf: Any, like: Any) -> Any:
        if leaf is None or not hasattr(like, "dtype"):
            return leaf
        return cast_leaf("tree.cast_like", path, leaf, like.dtype)

    return jax.tree_util.tree_map_with_path(one, tree, other_tree, is_leaf=is_none)


@of_arrays("tree")
def dtype(tree: Any, mixed_dtype_handler: str | None = None) -> Any:
    """The dtype of a tree's leaves; JAX's default float for a tree without leaves.

    Args:
      tree: arrays or scalars.
      mixed_dtype_handler: what to do when leaves differ. None raises; "promote" returns the dtype that JAX
        promotes them to; "highest" the leaves' dtype to which all others promote, "lowest" the one that
        promotes to all others.

    Raises:
      ValueError: dtypes differ and mixed_dtype_handler is None; no leaf has the highest (lowest) dtype, as
        float16 and bfloat16 do not promote to each other; mixed_dtype_handler is none of the above.

    >>> dtype([jnp.float16(1), jnp.float32(1)], "lowest")
    dtype('float16')
    """
    if mixed_dtype_handler not in (None, "promote", "highest", "lowest"):
        raise ValueError(
            "tree.dtype: mixed_dtype_handler must be None, 'promote', 'highest' or 'lowest', "
            f"got {mixed_dtype_handler!r}."
        )
    first_path: dict[Any, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        first_path.setdefault(jnp.dtype(jnp.result_type(leaf)), path)
    found = list(first_path)
    if len(found) <= 1:
        return found[0] if found else jnp.dtype(jnp.result_type(0.0))
    if mixed_dtype_handler is None:
        places = ", ".join(f"{d} at {path_str(path)}" for d, path in first_path.items())
        raise ValueError(f"tree.dtype: the leaves have several dtypes: {places}.")
    if mixed_dtype_handler == "promote":
        return jnp.dtype(jnp.result_type(*found))
    for d in found:
        if all(jnp.promote_types(d, e) == (d if mixed_dtype_handler == "highest" else e) for e in found):
            return d
    raise ValueError(
        f"tree.dtype: no leaf has the {mixed_dtype_handler} dtype among {', '.join(map(str, found))}, "
        "as some do not promote to each other. mixed_dtype_handler='promote' always works."
    )


@of_arrays("tree")
def zeros_like(tree: Any, dtype: DTypeLike | None = None) -> Any:
    """Zeros of every leaf's shape, in its dtype or in `dtype`.

    >>> zeros_like({"w": jnp.ones(2), "frozen": None}, jnp.float32)
    {'frozen': None, 'w': Array([0., 0.], dtype=float32)}
    """
    dtype = as_dtype("tree.zeros_like", dtype)
    return jax.tree.map(lambda x: jnp.zeros_like(x, dtype=dtype), tree)


@of_arrays("tree")
def ones_like(tree: Any, dtype: DTypeLike | None = None) -> Any:
    """Ones of every leaf's shape, in its dtype or in `dtype`."""
    dtype = as_dtype("tree.ones_like", dtype)
    return jax.tree.map(lambda x: jnp.ones_like(x, dtype=dtype), tree)


@of_arrays("tree", "fill_value")
def full_like(tree: Any, fill_value: ArrayLike, dtype: DTypeLike | None = None) -> Any:
    """`fill_value` in every leaf's shape, in its dtype or in `dtype`."""
    dtype = as_dtype("tree.full_like", dtype)
    return jax.tree.map(lambda x: jnp.full_like(x, fill_value, dtype=dtype), tree)
