"""The simplest transformations: two rules, and functions of trees or leaves made transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._base import GradientTransformation, OptState, Params, Updates, init_empty_state
from nablax.core._calls import checked
from nablax.core._kinds import FUNCTION, ONE_ARRAY, refusing
from nablax.core._rule import leafwise
from nablax.tree import is_none


def _same(g: jax.Array) -> jax.Array:
    return g


@refusing(g=ONE_ARRAY, factor=ONE_ARRAY)
def times(g: jax.Array, *, factor: jax.Array) -> jax.Array:
    """The rule of everything that multiplies all leaves by one number."""
    return factor * g


@checked()
def identity() -> GradientTransformation:
    """Leaves the updates as they are.

    Returns:
      A transformation with an empty state.

    Example:
      >>> import jax.numpy as jnp
      >>> identity().update(jnp.ones(2), ())[0]
      Array([1., 1.], dtype=float32)
    """
    return leafwise(_same)


def _zeros(g: jax.Array) -> jax.Array:
    return jnp.zeros_like(g)


@checked()
def set_to_zero() -> GradientTransformation:
    """Replaces every update by zeros of its shape and dtype, so that parameters stay where they are.

    Example:
      >>> import jax.numpy as jnp
      >>> set_to_zero().update(jnp.array([1.0, jnp.nan]), ())[0]
      Array([0., 0.], dtype=float32)
    """
    return leafwise(_zeros)


@checked(f=FUNCTION)
def stateless(f: Callable[[Updates, Params | None], Updates]) -> GradientTransformation:
    """Makes a transformation of a function of whole trees.

    Args:
      f: `f(updates, params)` returns the new updates; `params` is None where `update` got none.
    """

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        return f(updates, params), state

    return GradientTransformation(init_empty_state, update)


@checked(f=FUNCTION)
def stateless_with_tree_map(f: Callable[[Any, Any], Any]) -> GradientTransformation:
    """Makes a transformation of a function of one leaf.

    Args:
      f: `f(g, p)` returns the new update of a leaf; `p` is None where `update` got no params. Leaves that are None
        stay None.
    """

    def leaf(g: Any, p: Any) -> Any:
        return None if g is None else f(g, p)

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        if params is None:
            return jax.tree.map(lambda g: leaf(g, None), updates, is_leaf=is_none), state
        return jax.tree.map(leaf, updates, params, is_leaf=is_none), state

    return GradientTransformation(init_empty_state, update)
