"""Maps: which numbers of [0, 1] a code of few bits stands for, and which code is nearest to a number.

The dynamic map. A code's first one, at bit i of n, says which power of ten the number has; the bits behind it divide
that decade, from a tenth of it to the whole, into 2^i equal parts, and the number is the middle of one:

    F(m) = 10^(i - n + 1) (0.9 (m + 1/2) / 2^i - 0.8),   2^i <= m < 2^(i + 1),   F(0) = 0;   here F(m) / F(2^n - 1)

Each decade is a line in m, five times as steep as the one before. So F is convex, the largest of its lines, and its
inverse the smallest of theirs: neither a table nor a search. m and m - 1 are equally near where the inverse is m, but
for the first of a decade, m = 2^i, where half of the way from one part to a wider one is at m + 1/5.

The linear map divides [0, 1] into equal parts, and takes their upper ends: it has no zero.

Source: Dettmers 2016, arXiv:1511.04561, and Dettmers et al. 2021, arXiv:2110.02861, section 1.3, for the dynamic map;
its largest number is 1 here, so that the largest of a block is kept as it is, whatever its sign. Li et al. 2023,
arXiv:2309.01507, section 4.1, for the linear one, and for why averages of squares, which one divides by, need maps
without zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_FLOAT = np.float32


class Map(NamedTuple):
    """A map.

    Attributes:
      last: the largest code, an integer; the smallest is 0.
      value: from codes, as floats, to float32 in [0, 1]; value(last) is 1.
      nearest: from float32 in [0, 1], up to rounding, to codes: int32.
    """

    last: int
    value: Callable[[jax.Array], jax.Array]
    nearest: Callable[[jax.Array], jax.Array]

    def neighbour(self, x: jax.Array, up: jax.Array) -> jax.Array:
        """One of the two codes around x, the upper one with the probability that makes the mean x.

        Args:
          x: float32 in [0, 1]. Below the smallest number of a map without zero the mean is that number.
          up: uniform in [0, 1).
        """
        near = self.nearest(x)
        low = jnp.clip(near - (self.value(near.astype(_FLOAT)) > x), 0, self.last - 1)
        below, above = self.value(low.astype(_FLOAT)), self.value(low.astype(_FLOAT) + 1)
        return low + (up * (above - below) < x - below)


def _larger(a: Any, b: Any) -> jax.Array:
    return jnp.where(a > b, a, b)  # one instruction; `jnp.maximum` takes five, for NaN's sake


def _smaller(a: Any, b: Any) -> jax.Array:
    return jnp.where(a < b, a, b)


def _value(m: jax.Array, lines: Any) -> jax.Array:
    return functools.reduce(_larger, [m * _FLOAT(slope) + _FLOAT(start) for slope, start in lines], 0)


def _nearest(x: jax.Array, lines: Any, positive: bool) -> jax.Array:
    place = functools.reduce(_smaller, [x * _FLOAT(slope) + _FLOAT(start) for slope, start in lines])
    m = place.astype(jnp.int32)
    first = (m & (m - 1)) == 0  # of a decade
    m = m - (first & (place - m.astype(_FLOAT) < _FLOAT(0.2)))
    return m + ((m == 0) & (x > 0)) if positive else m


@functools.cache
def dynamic(bits: int, positive: bool) -> Map:
    """The dynamic map.

    Args:
      bits: of the code, n above.
      positive: a number that is not 0 does not become 0, however small.
    """
    top = 0.9 * (2 - 0.5**bits) - 0.8
    decades = [10.0 ** (i - bits + 1) / top for i in range(bits)]
    lines = [(0.9 * d / 2**i, d * (0.45 / 2**i - 0.8)) for i, d in enumerate(decades)]
    inverse = [(1 / slope, 0.5 - start / slope) for slope, start in lines]
    # The first decade is one number, with 0 below it: through 6/5, half of the way to it, and on to the next decade.
    half, end = 0.275 * decades[0], decades[0]
    inverse[0] = 0.8 / (end - half), 1.2 - 0.8 * half / (end - half)
    return Map(
        2**bits - 1,
        functools.partial(_value, lines=lines),
        functools.partial(_nearest, lines=inverse, positive=positive),
    )


@functools.cache
def linear(bits: int) -> Map:
    """The linear map: (m + 1) / 2^bits."""
    count = 2**bits
    return Map(
        count - 1,
        lambda m: (m + 1) * _FLOAT(1 / count),
        lambda x: _smaller(x * _FLOAT(count) - _FLOAT(0.5), _FLOAT(count - 1)).astype(jnp.int32),
    )
