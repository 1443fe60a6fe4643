"""Small repairs of updates: no negative parameters, no NaNs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import EmptyState, GradientTransformation, checked, fields, leafwise, statistic

NonNegativeParamsState = EmptyState


def _stay_nonnegative(g: jax.Array, params: jax.Array) -> jax.Array:
    return jnp.where(params + g < 0, -params, g)


@checked()
def keep_params_nonnegative() -> GradientTransformation:
    """Shortens updates so that parameters stay >= 0: u = max(g, -p).

    Put it last in a chain. Parameters that are negative already move to 0 or further up.

    Raises:
      MissingParamsError: `update` without params.

    Example:
      >>> keep_params_nonnegative().update(jnp.array([-0.5, -2.0]), (), jnp.ones(2))[0]
      Array([-0.5, -1. ], dtype=float32)
    """
    return leafwise(_stay_nonnegative)


class ZeroNansState(NamedTuple):
    """found_nan: for each leaf, whether the last updates held a NaN there; bool scalars, structure of params."""

    found_nan: Any


def _without_nans(g: jax.Array, found_nan: jax.Array) -> tuple[jax.Array, jax.Array]:
    nan = jnp.isnan(g)
    return jnp.where(nan, 0, g), jnp.any(nan)


@checked()
def zero_nans() -> GradientTransformation:
    """Replaces NaNs by 0 and remembers which leaves had any.

    Returns:
      A transformation with a `ZeroNansState`. A complex entry with a NaN in either part becomes 0.

    Example:
      >>> updates, state = zero_nans().update(jnp.array([1.0, jnp.nan]), ZeroNansState(jnp.array(False)))
      >>> print(updates, state.found_nan)
      [1. 0.] True
    """

    return leafwise(
        _without_nans, fields(ZeroNansState, found_nan=statistic(lambda p: jnp.array(False), False))
    )
