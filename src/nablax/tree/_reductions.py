"""One number for a whole tree: sums, inner products, extrema and sizes."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._casting import at_least_float32
from ._traverse import map_trees, of_arrays, reduce_scalars


def _common_dtype(leaves: list[Any]) -> Any:
    return at_least_float32(jnp.result_type(*leaves))


@functools.partial(jax.jit, static_argnames="dtype")
def _sum_leaf(x: Any, dtype: Any) -> jax.Array:
    return jnp.sum(x.astype(dtype))


@of_arrays("tree")
def sum(tree: Any, associative_reduction: bool = False) -> Any:
    """The sum of all elements; 0 for a tree without leaves.

    Adds up in at least float32 and returns that dtype, so that a bfloat16 tree of many leaves is summed
    rightly.

    Args:
      tree: arrays or scalars.
      associative_reduction: accepted for compatibility; leaf sums are always added in chunks, which compiles
        as fast.

    >>> sum({"w": jnp.ones(3), "b": 2.0})
    Array(5., dtype=float32)
    """
    del associative_reduction
    leaves = jax.tree.leaves(tree)
    if not leaves:
        return 0
    dtype = _common_dtype(leaves)
    return reduce_scalars(operator.add, [_sum_leaf(x, dtype) for x in leaves])


@functools.partial(jax.jit, static_argnames="dtype")
def _vdot_leaf(x: Any, y: Any, dtype: Any) -> jax.Array:
    # A product and a sum, not a dot: no raveling of sharded leaves, no reduced-precision matrix unit.
    return jnp.sum(jnp.conj(x.astype(dtype)) * y.astype(dtype))


@of_arrays("tree_x", "tree_y")
def vdot(tree_x: Any, tree_y: Any) -> Any:
    """The inner product sum conj(x) y over all elements, in at least float32; 0 for trees without leaves.

    Raises:
      ValueError: the structures differ, or two leaves have different shapes.

    >>> vdot({"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([3.0, 4.0])})
    Array(11., dtype=float32)
    """
    leaves = jax.tree.leaves(tree_x)
    if not leaves and not jax.tree.leaves(tree_y):
        map_trees("tree.vdot", lambda x, y: None, tree_x, tree_y)
        return 0
    dtype = _common_dtype(leaves + jax.tree.leaves(tree_y))

    def one(x: Any, y: Any) -> jax.Array:
        if jnp.shape(x) != jnp.shape(y):
            raise ValueError(f"tree.vdot: two leaves have shapes {jnp.shape(x)} and {jnp.shape(y)}.")
        return _vdot_leaf(x, y, dtype)

    return reduce_scalars(operator.add, jax.tree.leaves(map_trees("tree.vdot", one, tree_x, tree_y)))


@functools.partial(jax.jit, static_argnames=("of_leaf", "dtype"))
def _extremum_leaf(x: Any, of_leaf: Any, dtype: Any) -> jax.Array:
    return of_leaf(x).astype(dtype)


def _extremum(tree: Any, of_leaf: Any, of_pair: Any, empty: float) -> Any:
    leaves = [x for x in jax.tree.leaves(tree) if np.size(x)]
    if not leaves:
        return empty
    dtype = jnp.result_type(*leaves)
    return reduce_scalars(of_pair, [_extremum_leaf(x, of_leaf, dtype) for x in leaves])


@of_arrays("tree")
def max(tree: Any) -> Any:
    """The largest element, in the leaves' common dtype; -inf for an empty tree, NaN if there is a NaN.

    >>> max({"w": jnp.array([1.0, 4.0]), "b": 2.0})
    Array(4., dtype=float32)
    """
    return _extremum(tree, jnp.max, jax.lax.max, -float("inf"))


@of_arrays("tree")
def min(tree: Any) -> Any:
    """The smallest element, in the leaves' common dtype; inf for an empty tree, NaN if there is a NaN."""
    return _extremum(tree, jnp.min, jax.lax.min, float("inf"))


def size(tree: Any) -> int:
    """The number of elements of all leaves.

    >>> size({"w": jnp.ones((2, 3)), "b": 1.0, "frozen": None})
    7
    """
    return int(np.sum([np.size(x) for x in jax.tree.leaves(tree)], dtype=np.int64))


@jax.jit
def _finite_leaf(x: Any) -> jax.Array:
    return jnp.all(jnp.isfinite(x))


@of_arrays("tree")
def all_finite(tree: Any) -> jax.Array:
    """Whether no leaf holds an infinity or a NaN: a boolean scalar; True for a tree without leaves."""
    leaves = jax.tree.leaves(tree)
    return reduce_scalars(operator.and_, [_finite_leaf(x) for x in leaves]) if leaves else jnp.array(True)
