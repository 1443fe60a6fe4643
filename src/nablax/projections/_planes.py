"""Projections onto lines, hyperplanes and half-spaces, of the tree taken as one vector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree as trees
from nablax.core import check_number

from ._trees import check_one, check_real, match, on_leaves, wide


def projection_vector(x: Any, a: Any) -> Any:
    """The nearest multiple of a.   p = (<a, x> / <a, a>) a

    Args:
      x: a tree of real or complex arrays.
      a: a tree like x. If it is zero, so is p.

    Returns:
      p, a tree like x.

    Raises:
      StructureError: x and a differ in structure or shapes.

    >>> import jax.numpy as jnp
    >>> print(projection_vector(jnp.array([3.0, 1.0]), jnp.array([1.0, 1.0])))
    [2. 2.]
    """
    match("projection_vector", x=x, a=a)
    coefficient = _over_square(trees.vdot(a, x), a)
    return on_leaves(lambda _, direction: coefficient * wide(direction), x, a)


def projection_hyperplane(x: Any, a: Any, b: Any) -> Any:
    """The nearest tree with <a, p> = b.   p = x - ((<a, x> - b) / <a, a>) a

    Args:
      x: a tree of real or complex arrays.
      a: a tree like x, the normal of the hyperplane. If it is zero, p is x.
      b: a number.

    Returns:
      p, a tree like x.

    Raises:
      StructureError: x and a differ in structure or shapes.
    """
    match("projection_hyperplane", x=x, a=a)
    check_one("projection_hyperplane", "b", b)
    return _along(x, a, trees.vdot(a, x) - b)


def projection_halfspace(x: Any, a: Any, b: Any) -> Any:
    """The nearest tree with <a, p> <= b.   p = x - (max(<a, x> - b, 0) / <a, a>) a

    Args:
      x: a tree of real arrays.
      a: a tree like x, the outer normal of the half-space. If it is zero, p is x.
      b: a number.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: x or a is complex, or b is no real number.
      StructureError: x and a differ in structure or shapes.

    >>> import jax.numpy as jnp
    >>> print(projection_halfspace(jnp.array([3.0, 1.0]), jnp.array([1.0, 0.0]), 2.0))
    [2. 1.]
    """
    match("projection_halfspace", x=x, a=a)
    check_real("projection_halfspace", x=x, a=a)
    check_number("projection_halfspace", "b", b)
    check_one("projection_halfspace", "b", b)
    return _along(x, a, jnp.maximum(trees.vdot(a, x) - b, 0))


def _along(x: Any, a: Any, excess: jax.Array) -> Any:
    coefficient = _over_square(excess, a)
    return on_leaves(lambda leaf, direction: leaf - coefficient * wide(direction), x, a)


def _over_square(number: jax.Array, a: Any) -> jax.Array:
    square = trees.norm(a, squared=True)
    return jnp.where(square == 0, 0.0, number / jnp.where(square == 0, 1.0, square))
