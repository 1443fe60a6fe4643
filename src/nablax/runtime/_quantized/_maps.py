"""Maps: which numbers a code of few bits stands for, and which code is nearest to a number.

The dynamic map. A code's first one, at bit i, says in which of a few ranges the number lies, each eight times as large
as the one before; the bits behind it cut this range into p = 2^i equal parts, and the number is the middle of one:

    F(m) = p^2 (7/8 (m + 1/2) - 3/4 p),   p <= m < 2 p;   F(0) = 0

As m + 1/2 goes from p to 2 p, F goes from p^3 / 8 to p^3. So p is found in the exponent of a float, in m as in F(m),
and both ways are a few operations on bits, without a table or a search; F(m) is exact in float32. Two codes m - 1 and m
are equally near where the line of F is at m, but for the first code of a range, p: there the parts before are narrower
by a factor of four, and the middle is at p + 3/16.

The linear map: F(m) = m + 1. It has no zero.

Source: Dettmers 2016, arXiv:1511.04561, and Dettmers et al. 2021, arXiv:2110.02861, section 1.3, for the dynamic map,
with powers of 10 in the place of those of 8. Li et al. 2023, arXiv:2309.01507, section 4.1, for the linear one, and for
why averages of squares, which one divides by, need maps without zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_EXPONENT = 0x7F800000  # the bits of a float32's


class Map(NamedTuple):
    """A map.

    Attributes:
      last: the largest code; the smallest is 0.
      top: the number that it stands for.
      value: from codes, as floats, to numbers in [0, top], float32.
      nearest: from numbers in [0, top], float32, to codes, int32.
    """

    last: int
    top: float
    value: Callable[[jax.Array], jax.Array]
    nearest: Callable[[jax.Array], jax.Array]

    def neighbour(self, x: jax.Array, up: jax.Array) -> jax.Array:
        """One of the two codes around x, the upper one with the probability that makes the mean x.

        Args:
          x: in [0, top]. Below the smallest number of a map without zero, the mean is that number.
          up: uniform in [0, 1).
        """
        near = self.nearest(x)
        low = jnp.clip(near - (self.value(_float(near)) > x), 0, self.last - 1)
        below, above = self.value(_float(low)), self.value(_float(low) + 1)
        return low + (up * (above - below) < x - below)


def _float(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32)


def _of_bits(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float32)


def _bits(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.int32)


def _value(m: jax.Array) -> jax.Array:
    p = _of_bits(_bits(m) & _EXPONENT)
    return p * p * (0.875 * m + (0.4375 - 0.75 * p))


def _nearest(x: jax.Array, last: int, zero: bool) -> jax.Array:
    # x has the exponent e, biased by 127: p = 2^i with i = floor(e / 3) + 1. The division by 3 is exact for 8 bits.
    third = (((_bits(x) >> 23) + 2) * 171) >> 9
    p, inverse = _of_bits((third + 85) << 23), _of_bits((169 - third) << 23)
    place = x * inverse * inverse + 0.75 * p  # 7/8 of it
    middle = 0.875 * p + 0.1640625
    if zero:  # it is no part, but a number: the middle between it and the first is nearer
        middle = jnp.where(x < 1, 0.5 * 0.5625 + 0.75, middle)
    place = place * (1 / 0.875) + jnp.where(place < middle, -0.9375, 0)
    lowest = 0.5 if zero else 1.5
    place = jnp.where(place > lowest, place, lowest)
    return _bits(place + (2.0**23 - 0.5)) & last  # rounded down: the last bits of the sum


@functools.cache
def dynamic(bits: int, zero: bool) -> Map:
    """The dynamic map of codes of so many bits.

    Args:
      bits: of the code.
      zero: False takes the smallest positive number for all that is smaller.
    """
    p, last = 2.0 ** (bits - 1), 2**bits - 1
    return Map(last, p * p * (p - 0.4375), _value, functools.partial(_nearest, last=last, zero=zero))


@functools.cache
def linear(bits: int) -> Map:
    """The linear map of codes of so many bits."""
    last = 2**bits - 1
    return Map(
        last,
        last + 1.0,
        lambda m: m + 1,
        lambda x: jnp.where(x < last + 0.5, x - 0.5, last).astype(jnp.int32),
    )
