"""`Form`: how an array is quantised, and where its blocks lie.

A block is a box within the array: whole last dimensions and a part of the one before, where that gives enough entries;
the last along a dimension may be shorter. Codes and scales have the dimensions of the array, divided by those of what a
byte or a scale stands for; codes may have one more behind. So what is known of the array's dimensions, how they are
split over devices for one, is known of both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from nablax.runtime._quantized._maps import Map, doubling_map, power_map

_LONG = 1536  # entries of a row


@dataclasses.dataclass(frozen=True)
class Form:
    """How an array is quantised.

    Attributes:
      bits: of a code, 8 or 4.
      signed: whether entries may be negative.
      shape: of the array.
      box: of a block; of the dimensions of `shape`.
      dtype: the name of the array's.
      joint: whether an integer holds a code of this array and one of another of its shape. Else codes of 4 bits share
        a byte in pairs along the last dimension but one, so that what lies side by side is decoded alike.
      parted: whether the last dimension is that of a block, the one before that of the blocks along it.
    """

    bits: int
    signed: bool
    shape: tuple[int, ...]
    box: tuple[int, ...]
    dtype: str
    joint: bool = False
    parted: bool = False

    @classmethod
    def of(cls, x: Any, bits: int, signed: bool, block: int, joint: bool = False) -> Form:
        """The form of an array with at least one dimension.

        Args:
          x: the array, or its shape and dtype.
          bits, signed, joint: as above.
          block: entries of a block, at most.
        """
        box = box_of(x.shape, block, 1 if joint else 8 // bits)
        return cls(bits, signed, tuple(x.shape), box, jnp.dtype(x.dtype).name, joint)

    @property
    def map(self) -> Map:
        """The map of the codes, the sign's bit apart."""
        if self.bits == 8:
            return power_map(8 - self.signed, 2, zero=self.signed)
        return power_map(3, 1, zero=True) if self.signed else doubling_map(4)

    @property
    def word(self) -> Any:
        """The dtype of what holds the codes."""
        return jnp.uint16 if self.joint and self.bits == 8 else jnp.uint8

    @property
    def halved(self) -> bool:
        """Whether two codes of the array share a byte."""
        return self.bits == 4 and not self.joint

    @property
    def paired(self) -> int:
        """The dimension along which they then do."""
        return max(len(self.shape) - 2 - self.parted, 0)

    @property
    def laid(self) -> Form:
        """The form in which it is stored: parted where blocks along rows would be found entry by entry."""
        n, m = self.shape[-1], self.box[-1]
        if m == n or n % m or vectors(n, m) or (self.halved and len(self.shape) == 1):
            return self
        parts, box = (*self.shape[:-1], n // m, m), (*self.box[:-1], 1, m)
        return dataclasses.replace(self, shape=parts, box=box, parted=True)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The number of blocks along each dimension."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.box, strict=True))

    def fitting(self, spec: PartitionSpec, mesh: Any) -> PartitionSpec:
        """A spec of the array as one of codes and scales: without what would cut a block."""
        entries: list[Any] = []
        for entry, n, b in zip(spec, self.shape, self.box, strict=False):
            axes = (entry,) if isinstance(entry, str) else entry or ()
            cuts = n % (b * math.prod(mesh.shape[a] for a in axes)) != 0
            entries.append(None if cuts else entry)
        while entries and entries[-1] is None:
            entries.pop()
        return PartitionSpec(*entries)

    @property
    def group(self) -> int:
        """Along the paired dimension the codes of the halves of so many entries share their bytes.

        Two rows of a matrix; of a vector a block, for what lies side by side is to be decoded alike.
        """
        return 2 if len(self.shape) > 1 else self.box[0]

    @property
    def filled(self) -> tuple[int, ...]:
        """The shape that has codes: the array's, with halves in whole groups."""
        if not self.halved:
            return self.shape
        d = self.paired
        return (*self.shape[:d], -(-self.shape[d] // self.group) * self.group, *self.shape[d + 1 :])

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the codes."""
        return tuple(n // 2 if self.halved and d == self.paired else n for d, n in enumerate(self.filled))

    def fill(self, x: jax.Array) -> jax.Array:
        """The array with zeros behind it that fill the last group."""
        behind = [(0, size - n) for size, n in zip(self.filled, self.shape, strict=True)]
        return x if self.filled == self.shape else jnp.pad(x, behind)

    def cut(self, x: jax.Array) -> jax.Array:
        """The array without what fills the last group."""
        return x if self.filled == self.shape else x[tuple(map(slice, self.shape))]

    def each(self, scales: jax.Array) -> jax.Array:
        """A number a block as one an entry of the filled array."""
        ones = scales.reshape([n for k in self.blocks for n in (k, 1)])
        whole = [k * b for k, b in zip(self.blocks, self.box, strict=True)]
        wide = jnp.broadcast_to(ones, split(whole, self.box)).reshape(whole)
        return wide[tuple(map(slice, self.filled))]


def split(shape: Sequence[int], box: Sequence[int]) -> list[int]:
    """A shape, each dimension as its blocks and what a block has along it."""
    return [n for size, b in zip(shape, box, strict=True) for n in (size // b, b)]


def box_of(shape: tuple[int, ...], block: int, pair: int) -> tuple[int, ...]:
    """The box of at most `block` entries, as long in the last dimensions as it can be.

    A dimension that is cut, is cut into equal parts if there are any that are not much smaller than allowed; else the
    last block is shorter. Along the last dimension but one, or the only one, it is a multiple of `pair`.

    Example:
      >>> box_of((1000, 768), 256, 1), box_of((1024, 10), 256, 1), box_of((50257,), 256, 1)
      ((1, 256), (16, 10), (256,))
      >>> box_of((1000, 768), 128, 2)
      (2, 64)
    """
    last = len(shape) - 1
    paired = max(last - 1, 0)
    box: list[int] = []
    left = block if paired == last else block // pair
    for d in reversed(range(len(shape))):
        step = pair if d == paired else 1
        box.append(_part(shape[d], max(left, step), step, d == last))
        left = block // math.prod(box) if box[-1] >= shape[d] else 1
    return tuple(reversed(box))


def _part(n: int, limit: int, step: int, last: bool) -> int:
    """How much of a dimension a block has: a multiple of `step`, and at most `limit`."""
    if (whole := -(-n // step) * step) <= limit:
        return whole
    if n % limit == 0 and limit % step == 0:
        return limit
    fits = [m for m in range(step, limit + 1, step) if n % m == 0]
    if last and step == 1:
        return _width(n, limit, fits)
    even = -(-n // -(-n // limit))
    return max([m for m in fits if 2 * m >= limit], default=min(-(-even // step), limit // step) * step)


def _width(n: int, limit: int, fits: list[int]) -> int:
    """How much of a row a block has: a divisor of its length, or else its last block is shorter.

    Of a long row, which may well be spread over devices, the divisor that 4 or 8 of them find a whole number of blocks
    with; of those, or of a short row, one that `vectors` are made of.
    """

    def spread(m: int) -> int:
        return math.gcd(n // m, 8) // 4 if n >= _LONG else 0

    good = [m for m in fits if 2 * m >= limit or (3 * m >= limit and vectors(n, m) and n // m % 4 == 0)]
    good = [m for m in good if vectors(n, m) or spread(m)]
    return max(
        good, key=lambda m: (spread(m), vectors(n, m), m % 8 == 0, m), default=limit // 16 * 16 or limit
    )


def vectors(n: int, m: int) -> bool:
    """Whether XLA's CPU compiler makes vectors of what divides places up to n by m.

    It does where entries side by side lie in one block, as with multiples of 16; but two halves it tells apart entry by
    entry, unless a shift does.
    """
    return m % 16 == 0 and (n // m > 2 or m & (m - 1) == 0)
