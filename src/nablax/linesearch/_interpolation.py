"""Where the next trial of an interval goes: to the minimum of a cubic or a parabola through what is known there.

Sources: Nocedal & Wright 2006, doi:10.1007/978-0-387-40065-5, section 3.5.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

# A minimum nearer than this share of the interval to one of its ends shrinks it too little to be worth a trial.
CUBIC_MARGIN, QUADRATIC_MARGIN = 0.2, 0.1


def cubic_minimum(
    a: jax.Array, fa: jax.Array, slope_a: jax.Array, b: jax.Array, fb: jax.Array, c: jax.Array, fc: jax.Array
) -> jax.Array:
    """The minimum of the cubic with value and slope at a and values at b and c; not finite where it has none.

    With x = t - a:  p(x) = fa + slope_a x + q x^2 + r x^3, whose minimum is (-q + sqrt(q^2 - 3 r slope_a)) / (3 r).
    """
    xb, xc = b - a, c - a
    # What is left at b and c after the linear part, over x^2: q + r x.
    db = (fb - fa - slope_a * xb) / xb**2
    dc = (fc - fa - slope_a * xc) / xc**2
    r = (db - dc) / (xb - xc)
    q = db - r * xb
    return a + (-q + jnp.sqrt(q**2 - 3 * r * slope_a)) / (3 * r)


def quadratic_minimum(
    a: jax.Array, fa: jax.Array, slope_a: jax.Array, b: jax.Array, fb: jax.Array
) -> jax.Array:
    """The minimum of the parabola with value and slope at a and value at b."""
    x = b - a
    return a - slope_a * x**2 / (2 * (fb - fa - slope_a * x))


def next_trial(
    low: jax.Array, value_low: jax.Array, slope_low: jax.Array,
    high: jax.Array, value_high: jax.Array,
    third: jax.Array, value_third: jax.Array,
) -> jax.Array:  # fmt: skip
    """A step within the interval: by the cubic, else by the parabola, else its middle.

    Args:
      low, value_low, slope_low: the better end.
      high, value_high: the other end, on either side of low.
      third, value_third: a point met before, or NaN.
    """
    left, width = jnp.minimum(low, high), jnp.abs(high - low)

    def inside(t: jax.Array, margin: float) -> jax.Array:
        return (t > left + margin * width) & (t < left + (1 - margin) * width)  # False for NaN

    cubic = cubic_minimum(low, value_low, slope_low, high, value_high, third, value_third)
    quadratic = quadratic_minimum(low, value_low, slope_low, high, value_high)
    middle = (low + high) / 2
    rest = jnp.where(inside(quadratic, QUADRATIC_MARGIN), quadratic, middle)
    return jnp.where(inside(cubic, CUBIC_MARGIN), cubic, rest)
