"""When a step is good enough: the Wolfe conditions, and their form for functions flat to rounding.

    decrease    f(t) <= f(0) + c1 t f'(0)                                        Armijo
    or          f'(t) <= (2 c1 - 1) f'(0)   where   f(t) <= f(0) + c3 |f(0)|     approximate
    curvature   |f'(t)| <= c2 |f'(0)|                                            strong Wolfe

Near a minimum f(t) - f(0) is rounding error, but slopes are still exact: a slope that lies as a parabola's does where
the parabola satisfies Armijo's condition is taken for it.

Sources: Nocedal & Wright 2006, doi:10.1007/978-0-387-40065-5, section 3.1; Hager & Zhang 2006,
doi:10.1145/1132973.1132979, section 4.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def decrease_error(
    rate: jax.Array,
    value: jax.Array,
    slope: jax.Array,
    value_init: jax.Array,
    slope_init: jax.Array,
    slope_rtol: Any,
    approx_dec_rtol: Any,
) -> jax.Array:
    """By how much the decrease condition is missed: 0 where it holds, infinity where the value is NaN."""
    error = value - (value_init + slope_rtol * rate * slope_init)
    if approx_dec_rtol is not None:
        of_slope = slope - (2 * slope_rtol - 1) * slope_init
        of_value = value - (value_init + approx_dec_rtol * jnp.abs(value_init))
        error = jnp.minimum(error, jnp.maximum(of_slope, of_value))
    return jnp.where(jnp.isnan(error), jnp.inf, jnp.maximum(error, 0))


def curvature_error(slope: jax.Array, slope_init: jax.Array, curv_rtol: Any) -> jax.Array:
    """By how much the curvature condition is missed; infinity where the slope is NaN."""
    bound = jnp.where(jnp.isinf(curv_rtol), jnp.inf, curv_rtol * jnp.abs(slope_init))
    error = jnp.abs(slope) - bound
    return jnp.where(jnp.isnan(error), jnp.inf, jnp.maximum(error, 0))
