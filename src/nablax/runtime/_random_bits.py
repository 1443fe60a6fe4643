"""Random bits that are a function of a counter: of two words for the step, the number of the leaf and the place in it.

Sources: for the mixing of 32 bits: Wellons 2018, "Prospecting for hash functions", lowbias32; for lines: Dietzfelbinger
1996, doi:10.1007/3-540-60922-9_46.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def _mixed(x: jax.Array) -> jax.Array:
    """A bijection of 32 bits in which each bit of the result hangs on all bits of x."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def random_bits(words: jax.Array, leaf: Any, shape: tuple[int, ...]) -> jax.Array:
    """32 random bits for each entry of an array.

    Args:
      words: two uint32 that belong to the step.
      leaf: number of the leaf, uint32.
      shape: of the array; an entry's bits depend on its place alone, so that a sharded array draws them where it lies.
    """
    return _mixed(place_in(shape, shape) ^ _first(words, leaf))


def random_line(words: jax.Array, leaf: Any, blocks: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """A slope and a start for each of many blocks: start + i * slope, modulo 2^32, are 32 random bits for its entry i.

    The bits of any two entries know nothing of each other, but for the last few where both are in one block: if 2^t
    divides the difference of their i, the last t bits are the same. So a sum over entries that they round has the
    variance of a sum of independent errors (not its tails, as three entries of a block do know of each other); and they
    take a product and a sum an entry.

    Args:
      words, leaf: as of `random_bits`.
      blocks: the shape of the results.
    """
    both = (2, *blocks)
    w = _mixed(place_in(both, both) ^ _first(words, leaf))
    times = lax.broadcasted_iota(jnp.uint32, both, 0) + 1

    def added(a: Any, b: Any) -> Any:
        return a[0] + b[0], a[1] + b[1]

    # w0 + w1 and w0 + 2 w1 are as independent as w0 and w1. XLA does not fuse a sum into what uses it often, so it is
    # computed once a block, not once an entry.
    return lax.reduce((w, w * times), (jnp.uint32(0),) * 2, added, (0,))


def _first(words: jax.Array, leaf: Any) -> jax.Array:
    """A word of the step and the leaf."""
    return _mixed(words[0] + _mixed(words[1] + _mixed(jnp.asarray(leaf, jnp.uint32))))


def place_in(shape: tuple[int, ...], box: tuple[int, ...]) -> jax.Array:
    """The number of each entry of an array modulo 2^32, counted as in an array of shape `box`."""
    place = jnp.zeros(shape, jnp.uint32)
    for d in range(len(shape)):
        if box[d] > 1:
            stride = math.prod(box[d + 1 :]) % 2**32
            place = place + lax.broadcasted_iota(jnp.uint32, shape, d) * jnp.uint32(stride)
    return place
