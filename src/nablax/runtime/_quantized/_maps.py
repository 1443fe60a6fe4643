"""Maps: which numbers a code of few bits stands for, and which code is nearest to a number.

`Straight`. Let L(x) = e + f for x = 2^e (1 + f), 0 <= f < 1: the logarithm to base 2 at powers of two, straight between
them. Its digits are those of a float, so k L is a shift where k is a power of two. The map is

    L(F(m)) = k L(m) - s,   m = code + first

F(m) = m^k / 2^s at powers of two; from p to 2 p it rises 2^k times in k straight pieces, which meet at p (1 + j/k).
From first = k on these points are codes. So F is straight from each code to the next: the nearest code is m rounded,
and m rounded up or down by chance, as its fraction says, has the mean F(m). Both ways are a shift and a sum. For
numbers with a sign F(m) - F(first) begins with zero. s keeps all of it far from what a float cannot hold.

As in the dynamic map a part's width grows with the number: each range, 2^k times as large as the one before, has
twice as many parts. There the ranges are powers of 10, and the parts of a range are equal.

`Doubling`: F(m) = 2^(m + 1), for second moments in 4 bits: a code is the last bits of a float's exponent. Codes lie so
far apart that it matters which mean their rounding keeps, as a step divides by the root of v. Let v move to the mean of
g^2 by a part of their difference in each step, and rounding keep the mean of v^p. It adds to log v a variance w a step,
and the drift -p w / 2. Once both are in balance with the average, log v has a variance S; and 1 / sqrt(v) has the mean
1 + (p / 2 - 1 / 8) S times what it should be, to first order in S and whatever the part: with p = 1 steps are too long,
with p = 1/4 right. Before that, p is to be smaller, down to -1/2. So x = 2^e (1 + f) is rounded up with a probability
of f + c f (1 - f), for p = 1/4 with c of about 1/4: where the larger of two random numbers reaches 1 - f, one uniform
in [0, 1), the other in [1 - 1/c, 1). Here c is 2/7, by trial: averages on their way to rest are to be right, too; at
rest steps are then 2% short.

Source: for codes whose exponent and fraction share their bits: Dettmers 2016, arXiv:1511.04561, and Dettmers et al.
2021, arXiv:2110.02861, section 1.3. For why averages of squares, which one divides by, need maps without zero: Li et
al. 2023, arXiv:2309.01507, section 4.1. For L: Mitchell 1962, doi:10.1109/TEC.1962.5219391.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_TOP = 8  # log2 of the largest number, rounded down
# Added to a number of 22 bits it rounds it to a whole one, which is then in the last bits of the sum; 2^-d times this
# rounds to d digits behind the point.
_WHOLE = 1.5 * 2.0**23
_FRACTION, _BIAS = 23, 127  # of a float32: digits of its fraction; what its exponent has too much


@dataclasses.dataclass(frozen=True)
class Map(abc.ABC):
    """A map.

    Attributes:
      last: the largest code; the smallest is 0.
      first: m of code 0.
      low: F(first).
      top: the number that `last` stands for.
      zero: whether code 0 stands for 0; else for `low`, and for all that is smaller.
    """

    last: int
    first: float
    low: float
    top: float
    zero: bool

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Another map has another name."""

    @abc.abstractmethod
    def value(self, codes: jax.Array) -> jax.Array:
        """The numbers in [0, top], float32, that codes, int32, stand for."""

    @abc.abstractmethod
    def fixed(self, x: jax.Array, digits: int) -> jax.Array:
        """Codes, for numbers in [0, top], with so many digits behind the point; int32, more bits may stand before them.

        `top`, a little too large or too small, is still `last`.
        """

    @property
    @abc.abstractmethod
    def digits(self) -> int:
        """The binary digits of a chance."""

    @abc.abstractmethod
    def chance(self, bits: jax.Array) -> jax.Array:
        """What is to be added behind the point before that is cut off, int32, from 32 random bits, uint32.

        Those of a map with zero and of one without from the same bits know next to nothing of each other: what they
        have in common are the last digits of one of them.
        """

    def nearest(self, x: jax.Array) -> jax.Array:
        """The nearest codes, int32, to numbers in [0, top]."""
        return self.fixed(x, 0) & self.last

    def neighbour(self, x: jax.Array, bits: jax.Array) -> jax.Array:
        """One of the two codes around x by chance: the mean is x, or as the map says.

        Args:
          x: in [0, top]. Below the smallest number of a map without zero, it is taken for that number.
          bits: 32 random bits for each, uint32.
        """
        return (self.fixed(x, self.digits) + self.chance(bits) >> self.digits) & self.last


@dataclasses.dataclass(frozen=True)
class Straight(Map):
    """Straight from each code to the next, so that a rounded m has the mean F(m).

    Attributes:
      shift: log2 of k.
      unit: s.
    """

    shift: int
    unit: int

    @property
    def name(self) -> str:
        """`power4`."""
        return f"power{2**self.shift}"

    def value(self, codes: jax.Array) -> jax.Array:
        excess = np.uint32(self._excess % 2**32).astype(np.int32)  # modulo 2^32, as is the product
        m = codes.astype(jnp.float32) + self.first
        found = _float((_bits(m) << self.shift) - excess)
        return found - self.low if self.zero else found

    def fixed(self, x: jax.Array, digits: int) -> jax.Array:
        x = x + self.low if self.zero else jnp.maximum(x, self.low)
        place = _float((_bits(x) >> self.shift) + (self._excess >> self.shift))
        return _bits(place + (_WHOLE * 2.0**-digits - self.first))

    @property
    def digits(self) -> int:
        return min(15, 22 - self.last.bit_length())

    def chance(self, bits: jax.Array) -> jax.Array:
        if not self.zero:
            return (bits >> 32 - self.digits).astype(jnp.int32)
        return (bits >> 8).astype(jnp.int32) & (1 << self.digits) - 1

    @property
    def _excess(self) -> int:
        """What k times the bits of a float have beyond those of F: bits count from those of 1.0."""
        return (((1 << self.shift) - 1) * 127 + self.unit) << 23


@dataclasses.dataclass(frozen=True)
class Doubling(Map):
    """Powers of two: a code is an exponent. The mean of 1 / sqrt(v) is right, see above."""

    @property
    def name(self) -> str:
        return "doubling"

    def value(self, codes: jax.Array) -> jax.Array:
        return _float(codes + (_BIAS + 1) << _FRACTION)

    def fixed(self, x: jax.Array, digits: int) -> jax.Array:
        dropped = _FRACTION - digits
        # The exponent of 2 is 128, a multiple of the number of codes.
        return _bits(jnp.maximum(x, self.low)) + (1 << dropped - 1) >> dropped

    @property
    def digits(self) -> int:
        return 16

    def chance(self, bits: jax.Array) -> jax.Array:
        # In units of 2^-16: one uniform in [0, 1), one in [-5/2, 1).
        one, other = (bits >> 16).astype(jnp.int32), (bits << 16).astype(jnp.int32) >> 16
        return jnp.maximum(one, (7 * other >> 1) - (3 << 14))


def _float(bits: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(bits, jnp.float32)


def _bits(x: jax.Array) -> jax.Array:
    return lax.bitcast_convert_type(x, jnp.int32)


@functools.cache
def power_map(bits: int, shift: int, zero: bool) -> Map:
    """The straight map of codes of so many bits with k = 2^shift.

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
    top = 2.0**_TOP * (1 + part) - (low if zero else 0.0)
    return Straight(last, float(k), low, top, zero, shift, unit)


@functools.cache
def doubling_map(bits: int) -> Map:
    """Powers of two, one for each code of so many bits."""
    last = 2**bits - 1
    return Doubling(last, 1.0, 2.0, 2.0 ** (last + 1), zero=False)
