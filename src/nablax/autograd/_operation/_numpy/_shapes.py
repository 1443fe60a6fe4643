"""Operations that move elements without computing: as views of their arguments where NumPy can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._calls import said

Rule = Callable[..., Callable[..., Any] | None]
SMALL = 4096  # elements up to which a copy is quicker than a broadcast view


def same(x: Any) -> Any:
    """What is its argument; it is not called where something can be done about it."""
    return x


said(same, "{0}")


def reshaped(before: tuple[int, ...], shape: tuple[int, ...]) -> Callable[..., Any]:
    """The function that gives an array another shape."""
    if before == shape:
        return same
    if not shape:
        first = (0,) * len(before)
        return said(lambda x: x[first], "{0}[{first}]", True, first=first)
    return said(lambda x: x.reshape(shape), "{0}.reshape({shape})", shape=shape)


def _same(ins: list[Any], outs: list[Any], **_: Any) -> Callable[..., Any]:
    return same


def _reshape(ins: list[Any], outs: list[Any], dimensions: Any = None, **_: Any) -> Callable[..., Any] | None:
    return None if dimensions is not None else reshaped(ins[0].shape, outs[0].shape)


def _squeeze(ins: list[Any], outs: list[Any], dimensions: Any) -> Callable[..., Any] | None:
    return _reshape(ins, outs)


def stretched(aval: Any, shape: tuple[int, ...], dimensions: Any) -> tuple[int, ...]:
    """The shape before broadcasting: ones where the result is longer."""
    before = [1] * len(shape)
    for length, axis in zip(aval.shape, dimensions, strict=True):
        before[axis] = length
    return tuple(before)


def _broadcast(
    ins: list[Any], outs: list[Any], shape: Any, broadcast_dimensions: Any, **_: Any
) -> Callable[..., Any] | None:
    if len(ins) != 1:
        return None
    shape = outs[0].shape
    before = stretched(ins[0], shape, broadcast_dimensions)
    dtype = outs[0].dtype
    if before == shape:
        return _reshape(ins, outs)
    if outs[0].size > SMALL:
        return lambda x: np.broadcast_to(x.reshape(before), shape)
    last = before[len(shape) - ins[0].ndim :] == ins[0].shape  # NumPy's own way to broadcast

    def copied(x: Any) -> Any:
        made = np.empty(shape, dtype)
        made[...] = x if last else x.reshape(before)
        return made

    return copied


def _transpose(ins: list[Any], outs: list[Any], permutation: Any) -> Callable[..., Any]:
    return said(lambda x: x.transpose(permutation), "{0}.transpose({to})", to=permutation)


def _index(index: tuple) -> Callable[..., Any]:
    return said(lambda x: x[index], "{0}[{index}]", index=index)


def _rev(ins: list[Any], outs: list[Any], dimensions: Any) -> Callable[..., Any]:
    return _index(tuple(slice(None, None, -1 if i in dimensions else 1) for i in range(ins[0].ndim)))


def _slice(ins: list[Any], outs: list[Any], start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    steps = strides or (1,) * len(start_indices)
    return _index(tuple(map(slice, start_indices, limit_indices, steps)))


def _concatenate(ins: list[Any], outs: list[Any], dimension: int) -> Callable[..., Any]:
    join = np.concatenate
    return said(lambda *xs: join(xs, dimension), "{join}(({all},), {axis})", True, join=join, axis=dimension)


def _stack(ins: list[Any], outs: list[Any], axis: int) -> Callable[..., Any]:
    return lambda *xs: np.stack(xs, axis)


def _tile(ins: list[Any], outs: list[Any], reps: Any) -> Callable[..., Any]:
    return lambda x: np.tile(x, reps)


def _bitcast(ins: list[Any], outs: list[Any], new_dtype: Any) -> Callable[..., Any] | None:
    same = ins[0].dtype.itemsize == np.dtype(new_dtype).itemsize and "b" not in (
        ins[0].dtype.kind,
        outs[0].dtype.kind,
    )
    return (lambda x: x.view(new_dtype)) if same else None


def _split(ins: list[Any], outs: list[Any], sizes: Any, axis: int) -> Callable[..., Any]:
    ends = np.cumsum(sizes).tolist()
    before = (slice(None),) * axis
    indices = [(*before, slice(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
    return lambda x: [x[index] for index in indices]


def _unstack(ins: list[Any], outs: list[Any], axis: int) -> Callable[..., Any]:
    return lambda x: list(np.moveaxis(x, axis, 0))


def _pad(ins: list[Any], outs: list[Any], padding_config: Any) -> Callable[..., Any]:
    shape, dtype = outs[0].shape, outs[0].dtype
    into: list[slice] = []
    of: list[slice] = []
    for n, length, (low, _high, between) in zip(ins[0].shape, shape, padding_config, strict=True):
        step = between + 1
        first = max(0, -(low // step)) if low < 0 else 0  # the first element that is not cut away
        last = min(n, (length - 1 - low) // step + 1)
        last = max(first, last)
        of.append(slice(first, last))
        start = low + first * step
        into.append(slice(start, start + (last - first) * step, step) if last > first else slice(0, 0))
    to, taken = tuple(into), tuple(of)

    def padded(x: Any, value: Any) -> Any:
        made = np.full(shape, value, dtype)
        made[to] = x[taken]
        return made

    return padded


def _iota(ins: list[Any], outs: list[Any], dtype: Any, shape: Any, dimension: int, **_: Any) -> Any:
    if ins:
        return None
    before = [1] * len(shape)
    before[dimension] = shape[dimension]
    made = np.broadcast_to(np.arange(shape[dimension]).astype(dtype).reshape(before), shape)
    return lambda: made


def _starts(lengths: tuple[int, ...], sizes: tuple[int, ...]) -> Callable[..., tuple[slice, ...]]:
    """Slices from starts, each moved so that the slice lies inside."""
    room = [n - m for n, m in zip(lengths, sizes, strict=True)]
    moving = [(k, r, m) for k, (r, m) in enumerate(zip(room, sizes, strict=True)) if r]
    whole = [slice(None)] * len(sizes)

    def within(starts: Any) -> tuple[slice, ...]:
        found = whole[:]
        for k, r, m in moving:
            first = min(max(int(starts[k]), 0), r)
            found[k] = slice(first, first + m)
        return tuple(found)

    return within


def _dynamic_slice(ins: list[Any], outs: list[Any], slice_sizes: Any) -> Callable[..., Any]:
    within = _starts(ins[0].shape, slice_sizes)
    return lambda x, *starts: x[within(starts)]


def _dynamic_update_slice(ins: list[Any], outs: list[Any]) -> Callable[..., Any]:
    within = _starts(ins[0].shape, ins[1].shape)

    def updated(x: Any, new: Any, *starts: Any) -> Any:
        made = np.array(x)
        made[within(starts)] = new
        return made

    return updated


def _reduce_precision(ins: list[Any], outs: list[Any], exponent_bits: int, mantissa_bits: int) -> Any:
    info = jax.numpy.finfo(ins[0].dtype)
    return same if (exponent_bits, mantissa_bits) == (info.nexp, info.nmant) else None


RULES: dict[str, Rule] = {
    "reshape": _reshape, "broadcast_in_dim": _broadcast, "transpose": _transpose, "squeeze": _squeeze,
    "expand_dims": _squeeze, "rev": _rev, "slice": _slice, "concatenate": _concatenate, "split": _split,
    "unstack": _unstack, "stack": _stack, "tile": _tile, "bitcast_convert_type": _bitcast, "pad": _pad,
    "iota": _iota, "dynamic_slice": _dynamic_slice, "dynamic_update_slice": _dynamic_update_slice, "copy": _same,
    "copy_p": _same, "stop_gradient": _same, "reduce_precision": _reduce_precision,
    "optimization_barrier": lambda ins, outs, **_: lambda *xs: list(xs),
}  # fmt: skip
