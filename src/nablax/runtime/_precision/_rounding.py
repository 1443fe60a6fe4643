"""From float32 to fewer bits: without bias, or without loss.

A float's bits, read as an integer, count the floats of its sign from zero on. So the last bits that a narrower format
lacks are a place between two neighbours of that format: a random number of as many bits, added before they are cut
off, rounds up as often as the value lies near the upper one.

Source: Forsythe 1950, "Round-off errors in numerical integration on automatic machinery"; Gupta et al. 2015,
arXiv:1502.02551, section 3.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def round_stochastically(x: jax.Array, dtype: Any, bits: jax.Array) -> jax.Array:
    """One of the two neighbours of x in a narrower format, so that the mean is x.

    Args:
      x: float32.
      dtype: a float of fewer bits.
      bits: 32 random bits for each entry.

    Returns:
      Array of `dtype`. What the format holds exactly stays; so do infinities and NaN. Between the smallest normal
      number of float16 (or of a smaller format) and zero the mean is x up to 2^-24 of a step.
    """
    info = jnp.finfo(dtype)
    low = 23 - info.nmant
    raw = lax.bitcast_convert_type(x, jnp.uint32)
    near = lax.bitcast_convert_type(((raw + (bits >> (32 - low))) >> low) << low, jnp.float32)
    if info.minexp > jnp.finfo(jnp.float32).minexp:  # its smallest numbers lie evenly, float32's do not
        step = float(info.smallest_subnormal)
        up = (bits >> 8).astype(jnp.float32) * 2.0**-24
        steps = jnp.abs(x) / step
        whole = jnp.floor(steps)
        near_zero = jnp.copysign((whole + (steps - whole > up)) * step, x)
        near = jnp.where(jnp.abs(x) < float(info.smallest_normal), near_zero, near)
    return jnp.where(jnp.isfinite(x), near, x).astype(dtype)


def split(x: jax.Array) -> jax.Array:
    """The nearest bfloat16 of a float32; of two as near, the one away from zero, so that `remainder` has 16 bits."""
    raw = lax.bitcast_convert_type(x, jnp.uint32)
    near = lax.bitcast_convert_type(((raw + 0x8000) >> 16).astype(jnp.uint16), jnp.bfloat16)
    return jnp.where(jnp.isnan(x), x.astype(jnp.bfloat16), near)


def remainder(x: jax.Array, near: jax.Array) -> jax.Array:
    """How many float32 lie from the bfloat16 `near` to x: int16. Where they lie further apart, as many as it holds."""
    away = lax.bitcast_convert_type(x, jnp.int32) - _raw(near)
    return jnp.where(jnp.isnan(x), 0, jnp.clip(away, -(2**15), 2**15 - 1)).astype(jnp.int16)


def join(near: jax.Array, rest: jax.Array) -> jax.Array:
    """The float32 that `split` and `remainder` made two of: every bit of it, but for those of NaN."""
    return lax.bitcast_convert_type(_raw(near) + rest.astype(jnp.int32), jnp.float32)


def _raw(near: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(near, jnp.uint16).astype(jnp.int32) << 16
