"""Random bits that are a function of a counter: of two words for the step, the number of the leaf and the place in it.

Source of the mixing of 32 bits: Wellons 2018, "Prospecting for hash functions", lowbias32.
"""

from __future__ import annotations

import functools
import operator
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
    strides = [functools.reduce(operator.mul, shape[d + 1 :], 1) for d in range(len(shape))]
    place = jnp.zeros(shape, jnp.uint32)
    for d, stride in enumerate(strides):
        place = place + lax.broadcasted_iota(jnp.uint32, shape, d) * jnp.uint32(stride % 2**32)
    first = _mixed(words[0] + _mixed(words[1] + _mixed(jnp.asarray(leaf, jnp.uint32))))  # of step and leaf
    return _mixed(place ^ first)
