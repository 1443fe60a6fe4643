"""`Quantized`: an array as codes of few bits, and the largest absolute value of each block of its entries.

A byte holds one code of 8 bits, or two of 4: of the two moments of an entry, where a transformation keeps two, so that
each entry is read and written by itself; else of two entries of a block.

Source: block-wise scales: Dettmers et al. 2021, arXiv:2110.02861, section 2.1.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax.runtime._quantized._form import Form
from nablax.runtime._random_bits import random_bits

_TINY = 2.0**-100  # a block's scale below counts as 0: the largest number of a map must be divisible by it
_PIECE = 32  # entries; XLA's CPU compiler would first write down what longer ones are the largest of


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Quantized:
    """A quantised array.

    Attributes:
      codes: uint8, the array's shape in whole blocks. With 4 bits half of it along the last dimension but one (of a
        vector, the only one), the first half of a block in the lower bits; or, of two arrays with joint codes, all of
        it, the first array's in the lower bits, and None in the second's place. A sign is the highest bit of a code.
      scales: float32, the largest absolute value of each block; NaN where one is infinite or NaN.
      form: how to read them.
      beside: of the first of two arrays with joint codes, the form of the second; else None.
    """

    codes: Any
    scales: Any
    form: Form
    beside: Form | None = None

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Codes go by their maps, so that no file of codes is read by another one; without codes, scales do."""
        maps = [form.map.name for form in (self.form, self.beside) if form is not None]
        scales = "scales" if self.codes is not None else f"scales_{maps[0]}"
        keys = ["_".join(["codes", *maps]), scales]
        children = zip(map(jax.tree_util.GetAttrKey, keys), (self.codes, self.scales), strict=True)
        return tuple(children), (self.form, self.beside)

    @classmethod
    def tree_unflatten(cls, forms: Any, children: Any) -> Quantized:
        return cls(*children, *forms)


def is_quantized(x: Any) -> bool:
    """Whether a node of a tree is a `Quantized`."""
    return isinstance(x, Quantized)


def decode(*nodes: Quantized) -> list[jax.Array]:
    """The arrays, in the dtypes that they had: one, or two with joint codes."""
    bits, form = nodes[0].codes, nodes[0].form
    if form.bits == 8:
        return [_read(nodes[0], bits)]
    if form.halved:
        return [_read(nodes[0], _unpacked(bits, form))]
    return [_read(q, codes) for q, codes in zip(nodes, _parts(bits, len(nodes)), strict=True)]


def _read(q: Quantized, codes: jax.Array) -> jax.Array:
    form, codes = q.form, codes.astype(jnp.int32)
    magnitude = codes & form.map.last
    x = form.map.value(magnitude) * form.each(q.scales * (1 / form.map.top))
    if form.signed:
        sign = (codes ^ magnitude) << (32 - form.bits)
        x = lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.int32) ^ sign, jnp.float32)
    return form.cut(x).astype(form.dtype)


def encode(arrays: list[jax.Array], forms: list[Form], draw: Any = None) -> list[Quantized]:
    """Arrays as codes and scales.

    Args:
      arrays: one, or two with joint codes; floating.
      forms: what to make of each; of their shape.
      draw: None takes the nearest codes; (two words for the step, number of the leaf), see `random_bits`, takes one of
        the two neighbours so that the mean is right.
    """
    form = forms[0]
    bits = None if draw is None else random_bits(draw[0], draw[1], form.filled)
    found = [_write(x, form, bits) for x, form in zip(arrays, forms, strict=True)]
    codes = found[0][0]
    if form.halved:
        codes = _packed(codes, form)
    for k, (more, _) in enumerate(found[1:], 1):
        codes = codes | more << 4 * k
    first = Quantized(codes.astype(jnp.uint8), found[0][1], form, *forms[1:])
    return [
        first,
        *[Quantized(None, scales, form) for (_, scales), form in list(zip(found, forms, strict=True))[1:]],
    ]


def _write(x: jax.Array, form: Form, bits: Any) -> tuple[jax.Array, jax.Array]:
    """A code for each entry of the filled array, int32, and the scales."""
    x = form.fill(x.astype(jnp.float32))
    scales = _largest(x, form)
    scales = jnp.where(jnp.isfinite(scales), scales, jnp.nan)
    unit = jnp.abs(x) * form.each(form.map.top / jnp.where(scales >= _TINY, scales, jnp.inf))
    codes = form.map.nearest(unit) if bits is None else form.map.neighbour(unit, bits)
    if form.signed:
        sign = lax.bitcast_convert_type(x, jnp.uint32) >> 31
        codes = codes | (sign << (form.bits - 1)).astype(jnp.int32)
    return codes, scales


def _largest(x: jax.Array, form: Form) -> jax.Array:
    """The largest absolute value of each block of a filled array; NaN, if there is one.

    Bits of positive floats have their order. First go those that share a byte, which are read together, then those that
    lie a piece apart, so that vectors meet entry by entry; the rest at last.
    """
    bits = lax.bitcast_convert_type(jnp.abs(x), jnp.int32)
    box = list(form.box)
    if form.halved:
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
    """Codes of both halves of blocks, two a byte."""
    # A sum over two, as LLVM makes vectors of its loop; of the union of two slices it does not.
    pairs = jnp.sum(codes.reshape(_halves(form, 2)) << _shifts(form), axis=form.paired + 1)
    return pairs.reshape(form.stored)


def _unpacked(codes: jax.Array, form: Form) -> jax.Array:
    """For each entry its own half of a byte. Widened, as vectors of bytes cannot be shifted."""
    wide = codes.astype(jnp.int32).reshape(_halves(form, 1)) >> _shifts(form)
    return (wide & 15).reshape(form.filled)


def _shifts(form: Form) -> jax.Array:
    """To the bits of the first and of the second half of a block."""
    return jnp.array([0, 4], jnp.int32).reshape(2, *[1] * (len(form.shape) - form.paired))


def _parts(codes: jax.Array, n: int) -> list[jax.Array]:
    """The first four bits of each byte, and the others."""
    return [(codes.astype(jnp.int32) >> 4 * k) & 15 for k in range(n)]
