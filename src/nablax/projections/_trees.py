"""What projections do with trees: take them for one vector, and give it back in their shapes and dtypes.

A projection computes in at least float32; a leaf keeps its dtype, and an integer leaf becomes float32.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import ArgumentError, StructureError, check_number


def wide(x: Any) -> jax.Array:
    """x in at least float32."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def narrow(x: jax.Array, like: Any) -> jax.Array:
    """x in the dtype of a leaf, unless that is an integer's."""
    dtype = jnp.asarray(like).dtype
    return x.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else x


def check_real(who: str, **trees: Any) -> None:
    """Refuses complex arrays, whose elements have no order and no sign."""
    check_arrays(who, **trees)
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if jnp.iscomplexobj(leaf):
                raise ArgumentError(
                    f"{who}: {name} must be real, got {jnp.result_type(leaf)} at "
                    f"{jax.tree_util.keystr(path) or 'the only leaf'}."
                )


def check_arrays(who: str, **trees: Any) -> None:
    """Refuses trees that hold anything but numbers and arrays of them."""
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            kind = getattr(leaf, "dtype", type(leaf))
            if not (isinstance(leaf, numbers.Number) or _holds_numbers(kind)):
                raise ArgumentError(
                    f"{who}: {name} must hold numbers or arrays, got {type(leaf).__name__}: {leaf!r} at "
                    f"{jax.tree_util.keystr(path) or 'the only leaf'}."[:300]
                )


def _holds_numbers(dtype: Any) -> bool:
    try:
        return bool(jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_))
    except TypeError:
        return False


def on_leaves(project: Callable[..., jax.Array], tree: Any, *others: Any) -> Any:
    """project(leaf, ...) for each leaf, in at least float32 within."""
    return jax.tree.map(lambda x, *rest: narrow(project(wide(x), *rest), x), tree, *others)


def on_vector(who: str, project: Callable[[jax.Array], jax.Array], tree: Any) -> Any:
    """project(all elements as one vector), put back into the tree.

    Raises:
      StructureError: the tree has no elements.
    """
    check_arrays(who, tree=tree)
    structure: Any = jax.tree.structure(tree)
    leaves = jax.tree.leaves(tree)
    arrays = [wide(x) for x in leaves]
    if not any(x.size for x in arrays):
        raise StructureError(f"{who}: tree must hold at least one element, got none.")
    projected = project(jnp.concatenate([x.ravel() for x in arrays]))
    ends = np.cumsum([x.size for x in arrays])[:-1]
    parts = jnp.split(projected, ends)
    return structure.unflatten(
        [narrow(part.reshape(x.shape), leaf) for part, x, leaf in zip(parts, arrays, leaves, strict=True)]
    )


def match(who: str, **trees: Any) -> None:
    """Refuses trees that differ in structure or in a leaf's shape."""
    (name, tree), (other_name, other) = trees.items()
    structure: Any = jax.tree.structure(tree)
    other_structure: Any = jax.tree.structure(other)
    if structure != other_structure:
        raise StructureError(
            f"{who}: {name} and {other_name} must have the same structure, got {structure} and {other_structure}."
        )
    for (path, leaf), other_leaf in zip(
        jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(other), strict=True
    ):
        if jnp.shape(leaf) != jnp.shape(other_leaf):
            raise StructureError(
                f"{who}: {name} and {other_name} must have the same shapes, got {jnp.shape(leaf)} and "
                f"{jnp.shape(other_leaf)} at {jax.tree_util.keystr(path) or 'the only leaf'}."
            )


def like_tree(who: str, name: str, bound: Any, tree: Any) -> Any:
    """A bound for each leaf: itself a tree like it, or one for all leaves."""
    if jax.tree_util.all_leaves([bound]):
        one = bound
        bound = jax.tree.map(lambda _: one, tree)
    structure: Any = jax.tree.structure(tree)
    given: Any = jax.tree.structure(bound)
    if given != structure:
        raise StructureError(
            f"{who}: {name} must be a number or have the structure {structure}, got {given}."
        )
    for (path, leaf), limit in zip(
        jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(bound), strict=True
    ):
        try:
            fits = jnp.broadcast_shapes(jnp.shape(leaf), jnp.shape(limit)) == jnp.shape(leaf)
        except ValueError:
            fits = False
        if not fits:
            raise StructureError(
                f"{who}: {name} must broadcast to tree, got shape {jnp.shape(limit)} for {jnp.shape(leaf)} at "
                f"{jax.tree_util.keystr(path) or 'the only leaf'}."
            )
    return bound


def check_scale(who: str, scale: Any) -> None:
    """Refuses a scale that is negative or no number."""
    check_number(who, "scale", scale, 0)


def check_one(who: str, name: str, value: Any) -> None:
    """Refuses what is not one number, for all leaves."""
    check_arrays(who, **{name: value})
    if not jax.tree_util.all_leaves([value]) or jnp.ndim(value):
        raise ArgumentError(f"{who}: {name} must be a number, got {type(value).__name__}: {value!r}."[:300])
