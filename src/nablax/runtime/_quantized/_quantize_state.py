"""`quantize_state`: any transformation, its moments in 8 or 4 bits between steps."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding

from nablax.core import (
    FLAG,
    TRANSFORMATION,
    Field,
    GradientTransformationExtraArgs,
    Params,
    Program,
    around,
    checked,
    count,
    fields,
    inner_state,
    map_fields,
    number,
    of_kind,
    safe_increment,
    with_extra_args_support,
)
from nablax.runtime._quantized._blocks import Quantized, decode, encode, is_quantized
from nablax.runtime._quantized._form import Form

_BLOCKS = {8: 256, 4: 128}
_ROLES = ("first_moment", "second_moment")
_DTYPES = ("float32", "bfloat16", "float16")


class QuantizedState(NamedTuple):
    """The state of `quantize_state`.

    Attributes:
      count: updates so far, an int32 scalar.
      inner_state: state of the inner transformation, with a `Quantized` (codes and scales) in the place of each array
        of a moment that is large enough.
    """

    count: Any
    inner_state: Any


def _decode(nodes: list[Quantized], shared: None) -> list[jax.Array]:
    return decode(*nodes)


def _encode(row: Any, words: Any) -> list[Quantized]:
    arrays, nodes, leaf = row
    return encode(arrays, [q.form for q in nodes], None if words is None else (words, leaf))


_DECODE = Program(_decode, "decode_state", like=lambda nodes: [nodes[0].codes] * len(nodes))
_ENCODE = Program(_encode, "encode_state", like=lambda row: row[1])


@functools.lru_cache(256)
def _starter(forms: tuple[Form, ...], shardings: Any) -> Any:
    """What makes the first codes of arrays that lie so."""

    def fn(arrays: list[jax.Array]) -> list[Quantized]:
        # Without the barrier XLA's compiler works out what becomes of the constants, slowly.
        return encode(lax.optimization_barrier(arrays), list(forms))

    mesh = shardings[0].mesh
    if AxisType.Explicit in mesh.axis_types:
        places = [NamedSharding(mesh, f.fitting(s.spec, mesh)) for f, s in zip(forms, shardings, strict=True)]
        nodes = jax.eval_shape(fn, [jax.ShapeDtypeStruct(f.shape, f.dtype) for f in forms])
        out = [jax.tree.map(lambda _, p=p: p, q) for q, p in zip(nodes, places, strict=True)]
        fn = jax.sharding.auto_axes(fn, out_sharding=out)
    return jax.jit(fn)


def _moments(tx: Any, state: Any) -> list[list[tuple[Field, int]]]:
    """The moments of a state, by the numbers of their nodes.

    Those in one list may have joint codes: a leaf of a first moment and that of a second one which is the next field.
    """
    nodes: Any
    treedef: Any
    nodes, treedef = jax.tree.flatten(state, is_leaf=is_quantized)
    found: list[list[tuple[Field, Any]]] = []

    def note(field: Field, value: Any) -> Any:
        if found and _joins([*found[-1], (field, value)]):
            found[-1].append((field, value))
        else:
            found.append([(field, value)])
        return value

    map_fields(tx, treedef.unflatten(range(len(nodes))), note)
    return [
        list(zip([field for field, _ in row], numbers, strict=True))
        for row in found
        if row[0][0].role in _ROLES
        for numbers in zip(*[jax.tree.leaves(value) for _, value in row], strict=True)
    ]


def _joins(row: list[tuple[Field, Any]]) -> bool:
    roles, structures = [f.role for f, _ in row], {jax.tree.structure(value) for _, value in row}
    return roles == ["first_moment", "second_moment"] and len(structures) == 1


def _integer(low: int) -> Any:
    def fits(x: Any) -> bool:
        return isinstance(x, int | np.integer) and not isinstance(x, bool) and bool(x >= low)

    return of_kind(f"an integer >= {low}", fits)


@checked(
    inner=TRANSFORMATION,
    bits=of_kind("8 or 4", lambda x: isinstance(x, int) and x in _BLOCKS),
    block=_integer(2),
    stochastic=FLAG,
    min_size=_integer(1),
    seed=number(0, 2**32 - 1, integer=True),
)
def quantize_state(
    inner: Any,
    bits: int = 8,
    *,
    block: int | None = None,
    stochastic: bool | None = None,
    min_size: int = 4096,
    seed: int = 0,
) -> GradientTransformationExtraArgs:
    """Holds the moments of a transformation in 8 or 4 bits between steps: 2 bytes a parameter for Adam instead of 8.

    Each update decodes the state, lets the transformation compute in float32 as ever, and encodes what it remembers.
    An array is cut into blocks; a block has one scale, the largest absolute value in it, and each entry a code.

        role              8 bits                          4 bits
        first moments     fourth power, 7 bits and sign   square, 3 bits and sign
        second moments    fourth power, 8 bits            powers of two, 4 bits
        all others        as they are: counts, accumulators, statistics, snapshots, keys

    The largest of a block is kept, to the last bits of a float32. Second moments have no zero, since one divides by
    them: what is smaller becomes the smallest number, 6e-8 of the block's largest with 8 bits, 3e-5 with 4. A block
    with an entry that is infinite or NaN becomes NaN as a whole; one of entries below 2^-100 counts as zeros.

    Where a second moment follows a first one in a state, as in Adam's, an integer (uint16 with 8 bits, uint8 with 4)
    holds the two codes of an entry; it is in the first moment's `codes`, and the second's are None. Else a byte holds
    one code of 8 bits, or those of 4 bits of two entries.

    Args:
      inner: a transformation; fields of the states of other libraries have no roles, and stay.
      bits: 8 or 4 for each entry of a moment in float32, bfloat16 or float16; other dtypes stay.
      block: entries that share a scale, at most; an integer >= 2; None is 256 with 8 bits, 128 with 4. Blocks follow
        the shape, and `shard_state` cuts an array between blocks only.
      stochastic: take one of the two codes around a number by chance, so that the mean is right, not the nearest; of
        second moments v in 4 bits that of 1 / sqrt(v). None does so with 4 bits: their codes lie further
        apart than an average moves in a step, and the nearest would hold it where it is.
      min_size: arrays with fewer entries stay as they are; an integer >= 1.
      seed: of the random bits, which are a function of it, the count and the place: a restart repeats them. An
        integer >= 0.

    Returns:
      A transformation; its state is a `QuantizedState`.

    Raises:
      ArgumentError: an argument of the wrong kind.
      HyperparameterError: seed out of its range.

    Defaults: 8 bits and min_size are those of the source, whose blocks have 2,048 entries.

    Source: Dettmers et al. 2021, arXiv:2110.02861, for blocks and for steps that grow with the numbers; with 4 bits Li
    et al. 2023, arXiv:2309.01507 (blocks of 128 for both moments; their rank-1 scales need whole rows and columns,
    which a sharded array has not). The powers, in place of their maps, are two operations on a float's bits.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from nablax import adam
      >>> params = {"w": jnp.zeros((256, 256))}
      >>> state = quantize_state(adam(1e-3)).init(params)
      >>> state.inner_state[0].mu["w"].codes.dtype
      dtype('uint16')
      >>> round(sum(x.nbytes for x in jax.tree.leaves(state)) / params["w"].size, 2)
      2.03
    """
    tx = with_extra_args_support(inner)
    largest = _BLOCKS[bits] if block is None else int(block)
    by_chance = bits == 4 if stochastic is None else stochastic

    def small(x: Any) -> bool:
        return is_quantized(x) or x.ndim == 0 or x.size < min_size or x.dtype.name not in _DTYPES

    def start(params: Any) -> Any:
        nodes: Any
        treedef: Any
        state = tx.init(params)
        nodes, treedef = jax.tree.flatten(state, is_leaf=is_quantized)
        for moments in _moments(tx, state):
            large = [(field, i) for field, i in moments if not small(nodes[i])]
            joint = len(large) > 1 and len({nodes[i].shape for _, i in large}) == 1
            for row in [large] if joint else [[moment] for moment in large]:
                arrays = [nodes[i] for _, i in row]
                forms = [Form.of(nodes[i], bits, field.signed, largest, joint) for field, i in row]
                shardings = tuple(jax.typeof(x).sharding for x in arrays)
                for (_, i), q in zip(row, _starter(tuple(forms), shardings)(arrays), strict=True):
                    nodes[i] = q
        return treedef.unflatten(nodes)

    init = fields(
        QuantizedState,
        count=count(),
        inner_state=dataclasses.replace(inner_state(tx), make=start),
    )

    def update(step: Any, updates: Any, state: Any, params: Params, extra: dict[str, Any]) -> tuple[Any, Any]:
        nodes: Any
        treedef: Any
        nodes, treedef = jax.tree.flatten(state.inner_state, is_leaf=is_quantized)
        rows: list[list[int]] = []
        for moments in _moments(tx, state.inner_state):
            row = [i for _, i in moments if is_quantized(nodes[i])]
            rows += [row] if row and nodes[row[0]].beside is not None else [[i] for i in row]
        wide = list(nodes)
        for row, arrays in zip(
            rows, _DECODE.map([[nodes[i] for i in row] for row in rows], None), strict=True
        ):
            for i, x in zip(row, arrays, strict=True):
                wide[i] = x
        updates, after = step(updates, treedef.unflatten(wide), params, extra)
        new = treedef.flatten_up_to(after)
        words = None
        if by_chance:
            words = jnp.stack([state.count.astype(jnp.uint32), jnp.asarray(seed).astype(jnp.uint32)])
        told = [([new[i] for i in row], [nodes[i] for i in row], np.uint32(k)) for k, row in enumerate(rows)]
        for row, known in zip(rows, _ENCODE.map(told, words), strict=True):
            for i, q in zip(row, known, strict=True):
                new[i] = q
        return updates, QuantizedState(safe_increment(state.count), treedef.unflatten(new))

    return around(tx, init, update, ("inner_state",))
