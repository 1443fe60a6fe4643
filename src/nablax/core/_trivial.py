"""The two simplest rules."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nablax.core._base import GradientTransformation
from nablax.core._leafwise import leafwise


def _same(g: jax.Array) -> jax.Array:
    return g


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


def set_to_zero() -> GradientTransformation:
    """Replaces every update by zeros of its shape and dtype, so that parameters stay where they are.

    Example:
      >>> import jax.numpy as jnp
      >>> set_to_zero().update(jnp.array([1.0, jnp.nan]), ())[0]
      Array([0., 0.], dtype=float32)
    """
    return leafwise(_zeros)
