"""Arithmetic leaf by leaf: dtypes promote as in JAX, trees must have one structure, None leaves are kept."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ._traverse import is_none, map_trees, of_arrays, reduce_scalars


@of_arrays("tree_x", "tree_y")
def add(tree_x: Any, tree_y: Any, *other_trees: Any) -> Any:
    """x + y, and any further trees.

    Raises:
      ValueError: the trees have different structures; so for every function of several trees in this file.

    >>> add([1, None], [2, None], [3, None])
    [6, None]
    """
    return map_trees("tree.add", lambda *xs: functools.reduce(operator.add, xs), tree_x, tree_y, *other_trees)


@of_arrays("tree_x", "tree_y")
def sub(tree_x: Any, tree_y: Any) -> Any:
    """x - y."""
    return map_trees("tree.sub", operator.sub, tree_x, tree_y)


@of_arrays("tree_x", "tree_y")
def mul(tree_x: Any, tree_y: Any) -> Any:
    """x y, element by element."""
    return map_trees("tree.mul", operator.mul, tree_x, tree_y)


@of_arrays("tree_x", "tree_y")
def div(tree_x: Any, tree_y: Any) -> Any:
    """x / y, element by element."""
    return map_trees("tree.div", operator.truediv, tree_x, tree_y)


@of_arrays("scalar", "tree")
def scale(scalar: ArrayLike, tree: Any) -> Any:
    """scalar * x for every leaf x.

    Raises:
      TypeError: scalar is a tree, as where the two arguments changed places.

    >>> scale(2.0, {"w": jnp.ones(2)})
    {'w': Array([2., 2.], dtype=float32)}
    """
    if isinstance(scalar, str) or not jax.tree_util.all_leaves([scalar]):
        raise TypeError(
            f"tree.scale: scalar must be a number or an array, got {type(scalar).__name__}. The order is "
            "scale(scalar, tree)."
        )
    return jax.tree.map(lambda x: scalar * x, tree)


@jax.jit
def _add_scaled(x: Any, scalar: Any, y: Any) -> jax.Array:
    return x + scalar * y


@of_arrays("tree_x", "scalar", "tree_y")
def add_scale(tree_x: Any, scalar: ArrayLike, tree_y: Any) -> Any:
    """x + scalar * y. Where tree_x is None, so is the result.

    >>> add_scale([jnp.ones(2)], 0.5, [jnp.ones(2)])
    [Array([1.5, 1.5], dtype=float32)]
    """

    def one(x: Any, y: Any) -> Any:
        return None if x is None else _add_scaled(x, scalar, y)

    return map_trees("tree.add_scale", one, tree_x, tree_y, is_leaf=is_none)


@of_arrays("condition", "tree_x", "tree_y")
def where(condition: Any, tree_x: Any, tree_y: Any) -> Any:
    """Leaves of x where the condition holds, of y elsewhere; the condition broadcasts against every leaf."""
    return map_trees("tree.where", lambda x, y: jnp.where(condition, x, y), tree_x, tree_y)


@of_arrays("tree", "min_value", "max_value")
def clip(tree: Any, min_value: ArrayLike | None = None, max_value: ArrayLike | None = None) -> Any:
    """Every leaf clipped to [min_value, max_value]; None is no bound. Complex leaves raise a ValueError.

    >>> clip([jnp.array([-3.0, 0.5])], -1.0)
    [Array([-1. ,  0.5], dtype=float32)]
    """
    return jax.tree.map(lambda x: jnp.clip(x, min_value, max_value), tree)


@of_arrays("tree")
def conj(tree: Any) -> Any:
    """The complex conjugate of every leaf."""
    return jax.tree.map(jnp.conj, tree)


@of_arrays("tree")
def real(tree: Any) -> Any:
    """The real part of every leaf."""
    return jax.tree.map(jnp.real, tree)


@of_arrays("tree")
def batch_shape(tree: Any, shape: tuple[int, ...] = ()) -> Any:
    """Every leaf repeated along new leading axes of the given shape.

    >>> batch_shape([jnp.arange(2)], (2,))
    [Array([[0, 1],
           [0, 1]], dtype=int32)]
    """
    return jax.tree.map(lambda x: jnp.broadcast_to(x, shape + jnp.shape(x)), tree)


@of_arrays("a", "b")
def allclose(
    a: Any, b: Any, rtol: ArrayLike = 1e-05, atol: ArrayLike = 1e-08, equal_nan: bool = False
) -> Any:
    """True if |a - b| <= atol + rtol |b| everywhere; leaves broadcast, NaNs are equal only with equal_nan.

    >>> allclose([1.0], [1.0 + 1e-6])
    Array(True, dtype=bool)
    """
    close = map_trees("tree.allclose", lambda x, y: jnp.allclose(x, y, rtol, atol, equal_nan), a, b)
    leaves = jax.tree.leaves(close)
    return reduce_scalars(operator.and_, leaves) if leaves else True
