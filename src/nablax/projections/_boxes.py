"""Projections that treat each element by itself: onto boxes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify

from nablax.core import HyperparameterError

from ._trees import check_real, check_scale, like_tree, on_leaves


def projection_non_negative(tree: Any) -> Any:
    """The nearest tree without negative elements.   p = max(x, 0)

    Args:
      tree: x, a tree of real arrays.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree is complex.

    >>> import jax.numpy as jnp
    >>> print(projection_non_negative(jnp.array([-1.0, 2.0])))
    [0. 2.]
    """
    check_real("projection_non_negative", tree=tree)
    return jax.tree.map(lambda x: jnp.maximum(x, 0), tree)


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    """The nearest tree within bounds.   p = min(max(x, lower), upper)

    Args:
      tree: x, a tree of real arrays.
      lower, upper: bounds, each a number for all elements, or a tree like x of numbers or arrays that broadcast to
        x's leaves. Infinite bounds are none.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree or a bound is complex.
      StructureError: a bound does not fit the tree.
      HyperparameterError: a lower bound exceeds the upper one, or is NaN (of traced bounds, `checkify` says so).

    >>> import jax.numpy as jnp
    >>> print(projection_box({"w": jnp.array([-1.0, 0.5, 2.0])}, 0.0, 1.0)["w"])
    [0. 0.5 1. ]
    """
    return _box("projection_box", tree, lower, upper)


def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with elements in [0, scale].

    Args:
      tree: x, a tree of real arrays.
      scale: >= 0; a number for all elements, or a tree like x.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree is complex.
      StructureError: scale does not fit the tree.
      HyperparameterError: scale is negative or NaN.

    Defaults: as in Optax.
    """
    return _box("projection_hypercube", tree, 0, scale)


def projection_linf_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree with elements in [-scale, scale].

    Args:
      tree: x, a tree of real arrays.
      scale: >= 0, the radius in the largest-element norm.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree is complex.
      HyperparameterError: scale is negative or NaN.

    Defaults: as in Optax.
    """
    check_scale("projection_linf_ball", scale)
    check_real("projection_linf_ball", tree=tree)
    return on_leaves(lambda x: jnp.clip(x, -scale, scale), tree)


def _box(who: str, tree: Any, lower: Any, upper: Any) -> Any:
    check_real(who, tree=tree, lower=lower, upper=upper)
    lower = like_tree(who, "lower", lower, tree)
    upper = like_tree(who, "upper", upper, tree)
    for low, high in zip(jax.tree.leaves(lower), jax.tree.leaves(upper), strict=True):
        if isinstance(low, jax.core.Tracer) or isinstance(high, jax.core.Tracer):
            checkify.debug_check(jnp.all(low <= high), f"{who}: lower bounds must not exceed upper bounds.")
        elif not np.all(np.asarray(low) <= np.asarray(high)):
            raise HyperparameterError(
                f"{who}: lower bounds must not exceed upper bounds, got lower {low!r} and upper {high!r}."
            )
    return on_leaves(lambda x, low, high: jnp.clip(x, low, high), tree, lower, upper)
