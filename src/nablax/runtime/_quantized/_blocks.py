"""`Quantized`: an array as codes of few bits, and the largest absolute value of each block of its entries.

A block is a box within the array: whole last dimensions and a part of the one before, where that gives enough entries.
Codes and scales have the dimensions of the array, divided by those of what a byte or a scale stands for. So what is
known of the array's dimensions, how they are split over devices for one, is known of both. Codes of 4 bits share a byte
in pairs along the last dimension but one, so that what lies side by side is decoded alike.

Source: block-wise scales: Dettmers et al. 2021, arXiv:2110.02861, section 2.1.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from nablax.runtime._quantized._maps import Map, power_map
from nablax.runtime._random_bits import random_bits

_TINY = 2.0**-100  # a block's scale below counts as 0: the largest number of a map must be divisible by it
_PIECE = 32  # entries; XLA's CPU compiler would first write down what longer ones are the largest of


@dataclasses.dataclass(frozen=True)
class Form:
    """How an array is quantised.

    Attributes:
      bits: of a code, 8 or 4.
      signed: whether entries may be negative.
      shape: of the array.
      box: of a block; of the dimensions of `shape`.
      dtype: the name of the array's.
    """

    bits: int
    signed: bool
    shape: tuple[int, ...]
    box: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, x: Any, bits: int, signed: bool, block: int) -> Form:
        """The form of an array with at least one dimension.

        Args:
          x: the array, or its shape and dtype.
          bits, signed: as above.
          block: entries of a block, at most.
        """
        return cls(bits, signed, tuple(x.shape), box_of(x.shape, block, 8 // bits), jnp.dtype(x.dtype).name)

    @property
    def map(self) -> Map:
        """The map of the codes, the sign's bit apart: of the fourth power, or of the second where 3 bits are left."""
        bits = self.bits - self.signed
        return power_map(bits, 1 if bits < 4 else 2, zero=self.signed)

    @property
    def paired(self) -> int:
        """The dimension along which codes of 4 bits share a byte."""
        return max(len(self.shape) - 2, 0)

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
    def filled(self) -> tuple[int, ...]:
        """The shape in whole blocks."""
        return tuple(k * b for k, b in zip(self.blocks, self.box, strict=True))

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the codes."""
        return tuple(n * self.bits // 8 if d == self.paired else n for d, n in enumerate(self.filled))

    def fill(self, x: jax.Array) -> jax.Array:
        """The array with zeros behind it that fill the last blocks."""
        behind = [(0, size - n) for size, n in zip(self.filled, self.shape, strict=True)]
        return x if self.filled == self.shape else jnp.pad(x, behind)

    def cut(self, x: jax.Array) -> jax.Array:
        """The array without what fills the last blocks."""
        return x if self.filled == self.shape else x[tuple(map(slice, self.shape))]

    def each(self, scales: jax.Array) -> jax.Array:
        """A number a block as one an entry of the filled array."""
        ones = scales.reshape([n for k in self.blocks for n in (k, 1)])
        split = [n for pair in zip(self.blocks, self.box, strict=True) for n in pair]
        return jnp.broadcast_to(ones, split).reshape(self.filled)


def box_of(shape: tuple[int, ...], block: int, pair: int) -> tuple[int, ...]:
    """The box of at most `block` entries, as long in the last dimensions as it can be.

    Where a dimension is cut, it is cut into equal parts if there are any that are not much smaller than allowed; else
    the last block is shorter. Along the last dimension but one, or the only one, it is a multiple of `pair`.

    Example:
      >>> box_of((1000, 768), 256, 1), box_of((1024, 10), 256, 1), box_of((50257,), 256, 1)
      ((1, 256), (16, 10), (256,))
      >>> box_of((1000, 768), 128, 2)
      (2, 64)
    """
    paired = max(len(shape) - 2, 0)
    box: list[int] = []
    left = block if paired == len(shape) - 1 else block // pair
    for d in reversed(range(len(shape))):
        step = pair if d == paired else 1
        part = _part(shape[d], max(left, step), step)
        box.append(part)
        left = block // math.prod(box) if part >= shape[d] else 1
    return tuple(reversed(box))


def _part(n: int, limit: int, step: int) -> int:
    if n <= limit:
        return -(-n // step) * step
    equal = max((d for d in range(step, limit + 1, step) if n % d == 0), default=0)
    even = -(-n // -(-n // limit))
    return equal if 2 * equal >= limit else -(-even // step) * step


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Quantized:
    """A quantised array.

    Attributes:
      codes: uint8, the array's shape in whole blocks; with 4 bits half of it along the last dimension but one (of a
        vector, the only one): the first half of a block in the lower bits. A sign is the highest bit of a code.
      scales: float32, the largest absolute value of each block; NaN where one is infinite or NaN.
      form: how to read them.
    """

    codes: Any
    scales: Any
    form: Form

    def tree_flatten_with_keys(self) -> tuple[Any, Form]:
        """Codes go by their map, so that no file of codes is read by another one."""
        codes = jax.tree_util.GetAttrKey(f"codes_{self.form.map.name}")
        return ((codes, self.codes), (jax.tree_util.GetAttrKey("scales"), self.scales)), self.form

    @classmethod
    def tree_unflatten(cls, form: Form, children: Any) -> Quantized:
        codes, scales = children
        return cls(codes, scales, form)


def is_quantized(x: Any) -> bool:
    """Whether a node of a tree is a `Quantized`."""
    return isinstance(x, Quantized)


def decode(q: Quantized) -> jax.Array:
    """The array, in the dtype that it had."""
    form = q.form
    codes = (q.codes if form.bits == 8 else _unpacked(q.codes, form, 4)).astype(jnp.int32)
    magnitude = codes & form.map.last
    x = form.map.value(magnitude.astype(jnp.float32)) * form.each(q.scales * (1 / form.map.top))
    if form.signed:
        sign = (codes ^ magnitude) << (32 - form.bits)
        x = lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.int32) ^ sign, jnp.float32)
    return form.cut(x).astype(form.dtype)


def encode(x: jax.Array, form: Form, draw: Any = None) -> Quantized:
    """The array as codes and scales.

    Args:
      x: of the form's shape, floating.
      form: what to make of it.
      draw: None takes the nearest codes; (two words for the step, number of the leaf), see `random_bits`, takes one of
        the two neighbours so that the mean is right.
    """
    x = form.fill(x.astype(jnp.float32))
    scales = _largest(x, form)
    scales = jnp.where(jnp.isfinite(scales), scales, jnp.nan)
    unit = jnp.abs(x) * form.each(form.map.top / jnp.where(scales >= _TINY, scales, jnp.inf))
    codes = form.map.nearest(unit) if draw is None else form.map.neighbour(unit, _chances(draw, form))
    if form.signed:
        sign = lax.bitcast_convert_type(x, jnp.uint32) >> 31
        codes = codes | (sign << (form.bits - 1)).astype(jnp.int32)
    return Quantized(_packed(codes, form), scales, form)


def _largest(x: jax.Array, form: Form) -> jax.Array:
    """The largest absolute value of each block of a filled array; NaN, if there is one.

    Bits of positive floats have their order. First go those that share a byte, which are read together, then those that
    lie a piece apart, so that vectors meet entry by entry; the rest at last.
    """
    bits = lax.bitcast_convert_type(jnp.abs(x), jnp.int32)
    box = list(form.box)
    if form.bits == 4:
        d, halves = form.paired, bits.reshape(_halves(form, 2))
        bits = jnp.maximum(lax.index_in_dim(halves, 0, d + 1), lax.index_in_dim(halves, 1, d + 1))
        box[d] //= 2
    split = [n for pair in zip(form.blocks, box, strict=True) for n in pair][:-1]
    bits = jnp.max(bits.reshape(*split, -1, math.gcd(box[-1], _PIECE)), axis=-2)
    # As unsigned, for XLA would make one maximum of two, and one that is too long.
    bits = jnp.max(lax.bitcast_convert_type(bits, jnp.uint32), axis=tuple(range(1, bits.ndim, 2)))
    return lax.bitcast_convert_type(bits, jnp.float32)


def _halves(form: Form, parts: int) -> list[int]:
    """The filled shape with the blocks of the paired dimension, and `parts` of each, as dimensions of their own."""
    d = form.paired
    one = [form.blocks[d], parts, form.box[d] // 2]
    return [*form.filled[:d], *one, *form.filled[d + 1 :]]


def _packed(codes: jax.Array, form: Form) -> jax.Array:
    """Codes, one a byte, as those of a `Quantized`."""
    if form.bits == 8:
        return codes.astype(jnp.uint8)
    # A sum over two, as LLVM makes vectors of its loop; of the union of two slices it does not.
    pairs = jnp.sum(codes.reshape(_halves(form, 2)) << _shifts(form, 4), axis=form.paired + 1)
    return pairs.astype(jnp.uint8).reshape(form.stored)


def _unpacked(x: jax.Array, form: Form, width: int) -> jax.Array:
    """For each entry its own bits of a number that stands for two. Widened, as vectors of bytes cannot be shifted."""
    wide = x.astype(jnp.uint32).reshape(_halves(form, 1)) >> _shifts(form, width).astype(jnp.uint32)
    return (wide & (2**width - 1)).reshape(form.filled)


def _shifts(form: Form, width: int) -> jax.Array:
    """To the bits of the first and of the second half of a block."""
    return jnp.array([0, width], jnp.int32).reshape(2, *[1] * (len(form.shape) - form.paired))


def _chances(draw: Any, form: Form) -> jax.Array:
    """A chance, see `Map.neighbour`, for each entry of the filled array; two that share a byte share a random word."""
    bits = random_bits(draw[0], draw[1], form.stored)
    digits = form.map.digits
    return (bits >> (32 - digits) if form.bits == 8 else _unpacked(bits, form, digits)).astype(jnp.int32)
