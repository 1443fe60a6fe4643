"""`Quantized`: an array as codes of few bits, and the largest absolute value of each block of its entries.

Where a transformation keeps two moments, an integer holds both codes of an entry: so each entry is read and written by
itself, and one loop finds both, where XLA's CPU compiler would write a loop for each and compute in each what both come
from. Of a single moment a byte holds one code of 8 bits, or those of 4 bits of two entries of a block.

Source: block-wise scales: Dettmers et al. 2021, arXiv:2110.02861, section 2.1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax.runtime._quantized._form import Form, split
from nablax.runtime._random_bits import place_in, random_line

_TINY = 2.0**-100  # a block's scale below counts as 0: the largest number of a map must be divisible by it


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class Quantized:
    """A quantised array.

    Attributes:
      codes: uint8 or, of two arrays with joint codes of 8 bits, uint16; of the array's shape, or with rows as blocks
        and what is in them, see `Form.laid`. Of joint codes the first array's are in the lower bits, and None is in the
        second's place. Of an array alone in 4 bits there are half as many: the first of two rows, or of a vector the
        first half of a block, is in the lower bits. A sign is the highest bit of a code.
      scales: float32, the largest absolute value of each block; NaN where one is infinite or NaN.
      form: how to read them.
      beside: of the first of two arrays with joint codes, the form of the second; else None.
    """

    codes: Any
    scales: Any
    form: Form
    beside: Form | None = None

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Codes go by their maps and blocks, so that no file of codes is read by others; without codes, scales do."""
        maps = [form.map.name for form in (self.form, self.beside) if form is not None]
        scales = "scales" if self.codes is not None else f"scales_{maps[0]}"
        keys = ["_".join(["codes", *maps, "x".join(map(str, self.form.box))]), scales]
        children, forms = self.tree_flatten()
        return tuple(zip(map(jax.tree_util.GetAttrKey, keys), children, strict=True)), forms

    def tree_flatten(self) -> tuple[Any, Any]:  # without keys, as each step does
        return (self.codes, self.scales), (self.form, self.beside)

    @classmethod
    def tree_unflatten(cls, forms: Any, children: Any) -> Quantized:
        return cls(*children, *forms)


def is_quantized(x: Any) -> bool:
    """Whether a node of a tree is a `Quantized`."""
    return isinstance(x, Quantized)


def decode(*nodes: Quantized) -> list[jax.Array]:
    """The arrays, in the dtypes that they had: one, or two with joint codes."""
    form, wide = nodes[0].form.laid, nodes[0].codes.astype(jnp.int32)  # as vectors of bytes cannot be shifted
    if form.halved:
        parts = [_unpacked(wide, form)]
    else:
        parts = [(wide >> form.bits * k) & (1 << form.bits) - 1 for k in range(len(nodes))]
    return [_read(codes, q.scales, q.form) for q, codes in zip(nodes, parts, strict=True)]


def _read(codes: jax.Array, scales: jax.Array, form: Form) -> jax.Array:
    """The array, from an int32 code for each entry."""
    laid = form.laid
    magnitude = codes & laid.map.last
    x = laid.map.value(magnitude) * laid.each(scales.reshape(laid.blocks) * (1 / laid.map.top))
    if form.signed:
        sign = (codes ^ magnitude) << (32 - form.bits)
        x = lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.int32) ^ sign, jnp.float32)
    return laid.cut(x).astype(form.dtype).reshape(form.shape)


def encode(arrays: list[jax.Array], forms: list[Form], draw: Any = None) -> list[Quantized]:
    """Arrays as codes and scales.

    Args:
      arrays: one, or two with joint codes; floating.
      forms: what to make of each; of their shape.
      draw: None takes the nearest codes; (two words for the step, number of the leaf), see `random_line`, takes one of
        the two neighbours so that the mean is right.
    """
    laid = [form.laid for form in forms]
    filled = [
        form.fill(x.astype(jnp.float32).reshape(form.shape)) for x, form in zip(arrays, laid, strict=True)
    ]
    largest = _largest(filled, laid[0])
    bits = None if draw is None else _random(draw, laid[0])
    found = [_codes(*told, bits) for told in zip(filled, largest, laid, strict=True)]
    codes = _packed(found[0], laid[0]) if laid[0].halved else found[0]
    for k, more in enumerate(found[1:], 1):
        codes = codes | more << laid[0].bits * k
    scales = [jnp.where(jnp.isfinite(x), x, jnp.nan).reshape(forms[0].blocks) for x in largest]
    first = Quantized(codes.astype(laid[0].word), scales[0], *forms)
    return [first, *[Quantized(None, *told) for told in list(zip(scales, forms, strict=True))[1:]]]


def _random(draw: Any, form: Form) -> jax.Array:
    """32 random bits for each entry of the filled array."""
    slope, start = random_line(draw[0], draw[1], form.blocks)
    return form.each(start) + form.each(slope) * place_in(form.filled, form.box)


def _codes(x: jax.Array, largest: jax.Array, form: Form, bits: Any) -> jax.Array:
    """A code for each entry of a filled array, int32."""
    unit = jnp.abs(x) * form.each(form.map.top / jnp.where(largest >= _TINY, largest, jnp.inf))
    codes = form.map.nearest(unit) if bits is None else form.map.neighbour(unit, bits)
    if form.signed:
        sign = lax.bitcast_convert_type(x, jnp.uint32) >> 31
        codes = codes | (sign << (form.bits - 1)).astype(jnp.int32)
    return codes


def _largest(arrays: list[jax.Array], form: Form) -> list[jax.Array]:
    """The largest absolute value of each block of one or two filled arrays; NaN, if there is one."""
    box = list(form.box)
    if form.halved:
        d, halves = form.paired, jnp.abs(arrays[0]).reshape(_halves(form, 2))
        parts = [lax.index_in_dim(halves, k, d + 1).reshape(form.stored) for k in range(2)]
        box[d] //= 2
    else:
        parts = [jnp.abs(x) for x in arrays] if len(arrays) > 1 else [arrays[0], -arrays[0]]
    # Bits of positive floats have their order.
    found = _over_blocks([lax.bitcast_convert_type(x, jnp.int32) for x in parts], box)
    found = found if len(arrays) > 1 else [jnp.maximum(*found)]
    return [lax.bitcast_convert_type(x, jnp.float32) for x in found]


def _over_blocks(two: list[jax.Array], box: list[int]) -> list[jax.Array]:
    """The largest positive integer of each block of two arrays.

    XLA's CPU compiler makes vectors of a reduction with two results, whatever the shape, and reads once what both come
    from; of one with one result it makes several loops.
    """
    shape = two[0].shape
    short = [d for d, (n, b) in enumerate(zip(shape, box, strict=True)) if n % b]
    if not short:
        split_up = tuple(x.reshape(split(shape, box)) for x in two)

        def larger(a: Any, b: Any) -> Any:
            return jnp.maximum(a[0], b[0]), jnp.maximum(a[1], b[1])

        return list(lax.reduce(split_up, (jnp.int32(0),) * 2, larger, tuple(range(1, 2 * len(shape), 2))))
    d = short[0]
    whole = shape[d] // box[d] * box[d]
    most = _over_blocks([lax.slice_in_dim(x, 0, whole, axis=d) for x in two], box)
    box = [*box[:d], shape[d] - whole, *box[d + 1 :]]
    rest = _over_blocks([lax.slice_in_dim(x, whole, None, axis=d) for x in two], box)
    return [jnp.concatenate(both, d) for both in zip(most, rest, strict=True)]


def _halves(form: Form, parts: int) -> list[int]:
    """The filled shape with the groups of the paired dimension, and `parts` of each, as dimensions of their own."""
    d = form.paired
    one = [form.filled[d] // form.group, parts, form.group // 2]
    return [*form.filled[:d], *one, *form.filled[d + 1 :]]


def _packed(codes: jax.Array, form: Form) -> jax.Array:
    """Codes of both halves of groups, two a byte."""
    # A sum over two, as LLVM makes vectors of its loop; of the union of two slices it does not.
    pairs = jnp.sum(codes.reshape(_halves(form, 2)) << _shifts(form), axis=form.paired + 1)
    return pairs.reshape(form.stored)


def _unpacked(codes: jax.Array, form: Form) -> jax.Array:
    """For each entry its own half of a byte, int32."""
    return (codes.reshape(_halves(form, 1)) >> _shifts(form) & 15).reshape(form.filled)


def _shifts(form: Form) -> jax.Array:
    """To the bits of the first and of the second half of a group."""
    return jnp.array([0, 4], jnp.int32).reshape(2, *[1] * (len(form.shape) - form.paired))
