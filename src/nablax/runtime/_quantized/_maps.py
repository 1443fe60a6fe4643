"""Maps: which numbers a code of few bits stands for, and which code is nearest to a number.

Let L(x) = e + f for x = 2^e (1 + f), 0 <= f < 1: the logarithm to base 2 at powers of two, straight between them. Its
digits are those of a float, so k L is a shift where k is a power of two. A map is

    L(F(m)) = k L(m) - s,   m = code + first

F(m) = m^k / 2^s at powers of two; from p to 2 p it rises 2^k times in k straight pieces, which meet at p (1 + j/k).
From first = k on these points are codes. So F is straight from each code to the next: the nearest code is m rounded,
and m rounded up or down by chance, as its fraction says, has the mean F(m). Both ways are a shift and a sum. For
numbers with a sign F(m) - F(first) begins with zero. s keeps all of it far from what a float cannot hold.

As in the dynamic map a part's width grows with the number: each range, 2^k times as large as the one before, has
twice as many parts. There the ranges are powers of 10, and the parts of a range are equal.

Source: for codes whose exponent and fraction share their bits: Dettmers 2016, arXiv:1511.04561, and Dettmers et al.
2021, arXiv:2110.02861, section 1.3. For why averages of squares, which one divides by, need maps without zero: Li et
al. 2023, arXiv:2309.01507, section 4.1. For L: Mitchell 1962, doi:10.1109/TEC.1962.5219391.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_TOP = 8  # log2 of the largest number, rounded down
# Added to a number of 22 bits it rounds it to a whole one, which is then in the last bits of the sum; 2^-d times this
# rounds to d digits behind the point.
_WHOLE = 1.5 * 2.0**23


class Map(NamedTuple):
    """A map.

    Attributes:
      last: the largest code; the smallest is 0.
      shift: log2 of k.
      unit: s.
      first: m of code 0.
      low: F(first).
      zero: whether code 0 stands for 0; else for `low`, and for all that is smaller.
      top: the number that `last` stands for.
    """

    last: int
    shift: int
    unit: int
    first: float
    low: float
    zero: bool
    top: float

    @property
    def name(self) -> str:
        """`power4`; another map has another name."""
        return f"power{2**self.shift}"

    def value(self, codes: jax.Array) -> jax.Array:
        """The numbers in [0, top], float32, that codes, as float32, stand for."""
        excess = np.uint32(self._excess % 2**32).astype(np.int32)  # modulo 2^32, as is the product
        found = _float((_bits(codes + self.first) << self.shift) - excess)
        return found - self.low if self.zero else found

    def place(self, x: jax.Array) -> jax.Array:
        """m for numbers in [0, top]; its whole numbers are codes."""
        x = x + self.low if self.zero else jnp.maximum(x, self.low)
        return _float((_bits(x) >> self.shift) + (self._excess >> self.shift))

    @property
    def _excess(self) -> int:
        """What k times the bits of a float have beyond those of F: bits count from those of 1.0."""
        return (((1 << self.shift) - 1) * 127 + self.unit) << 23

    @property
    def digits(self) -> int:
        """The binary digits of a chance, which are those behind the point of a place."""
        return min(16, 22 - self.last.bit_length())

    def nearest(self, x: jax.Array) -> jax.Array:
        """The nearest codes, int32, to numbers in [0, top]."""
        return self._fixed(x, 0) & self.last

    def neighbour(self, x: jax.Array, chance: jax.Array) -> jax.Array:
        """One of the two codes around x, the upper one with the probability that makes the mean x.

        Args:
          x: in [0, top]. Below the smallest number of a map without zero, the mean is that number.
          chance: int32, a whole number, uniform in [0, 2^digits).
        """
        return (self._fixed(x, self.digits) + chance >> self.digits) & self.last

    def _fixed(self, x: jax.Array, digits: int) -> jax.Array:
        """Codes with so many digits behind the point, in the last bits; `top`, a little too large, is still `last`."""
        return _bits(self.place(x) + (_WHOLE * 2.0**-digits - self.first))


def _float(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float32)


def _bits(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.int32)


@functools.cache
def power_map(bits: int, shift: int, zero: bool) -> Map:
    """The map of codes of so many bits with k = 2^shift.

    Args:
      bits: of the code.
      shift: log2 of k.
      zero: whether there is a code for 0.
    """
    last, k = 2**bits - 1, 2**shift
    fraction, e = math.frexp(last + k)  # in [1/2, 1)
    whole, part = divmod(k * (e - 1 + 2 * fraction - 1), 1)
    unit = int(whole) - _TOP
    low = 2.0 ** (k * shift - unit)
    return Map(last, shift, unit, float(k), low, zero, 2.0**_TOP * (1 + part) - (low if zero else 0.0))
