"""Indexing: integers, slices, None and Ellipsis; arrays of integers in front of whole axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax.lax import GatherDimensionNumbers, GatherScatterMode

from .._custom import custom
from .._numpy._picking import Returned, Taken
from .._pullbacks._shapes import adding
from .._writer import BOOL, Atom, Writer
from ._rule import need, ranked, strong


def picked(w: Writer, x: Any, parts: Sequence[Any]) -> Atom:
    """x[parts], an array where a part has an aval."""
    need(x.aval.dtype.kind in "fiub" and not x.aval.weak_type)
    arrays = [p for p in parts if hasattr(p, "aval")]
    if not arrays:
        return _basic(w, x, parts)
    whole = parts[len(arrays) :]
    need(list(parts[: len(arrays)]) == arrays and all(p == slice(None) or p is Ellipsis for p in whole))
    need(len(arrays) + len([p for p in whole if p is not Ellipsis]) <= x.aval.ndim)
    return _gathered(w, x, arrays)


def taken(w: Writer, x: Any, parts: Sequence[Any], starts: Sequence[Any]) -> Atom:
    """x[parts], where an integer or a slice of some `length` starts at each of `starts`."""
    need(x.aval.dtype.kind in "fiub" and not x.aval.weak_type)
    shape, entering = x.aval.shape, iter(starts)
    at, sizes, left = [], [], []
    need(None not in parts)
    for p, n in zip(_spread(parts, len(shape)), shape, strict=True):
        if hasattr(p, "length"):
            at.append(next(entering))
            sizes.append(p.length)
            left += [] if p.drop else [p.length]
        else:
            need(p == slice(None))
            at.append(w.number(0, np.int32))
            sizes.append(n)
            left.append(n)
    need(all(s.aval.dtype == np.int32 and not s.aval.weak_type for s in at))
    found = w.emit(lax.dynamic_slice_p, (x, *at), tuple(sizes), x.aval.dtype, slice_sizes=tuple(sizes))
    return w.reshape(found, tuple(left))


def _spread(parts: Sequence[Any], n: int) -> list[Any]:
    """A part for each of n axes, and None."""
    rest = n - sum(p is not None and p is not Ellipsis for p in parts)
    need(rest >= 0)
    full: list[Any] = []
    for p in parts if Ellipsis in parts else (*parts, Ellipsis):
        full += [slice(None)] * rest if p is Ellipsis else [p]
    return full


def _basic(w: Writer, x: Atom, parts: Sequence[Any]) -> Atom:
    shape = x.aval.shape
    first, last, steps, left = [], [], [], []
    axis = 0
    for p in _spread(parts, len(shape)):
        if p is None:
            left.append(1)
            continue
        n = shape[axis]
        if isinstance(p, slice):
            need(all(v is None or type(v) is int for v in (p.start, p.stop, p.step)))
            need(not w.letters or p == slice(None))
            start, stop, step = p.indices(n)
            need(step > 0 and stop > start)
            left.append(-((start - stop) // step))
        else:
            need(type(p) is int and -n <= p < n and not (w.letters and p))
            start, stop, step = p % n, p % n + 1, 1
        first.append(start)
        last.append(stop)
        steps.append(step)
        axis += 1
    need(axis == len(shape))
    strides = None if all(s == 1 for s in steps) else tuple(steps)
    cut = w.slice(x, first, last, strides) if first else x
    return w.reshape(cut, tuple(left))


def _gathered(w: Writer, x: Atom, arrays: Sequence[Any]) -> Atom:
    lengths = x.aval.shape
    need(max(strong(at, "i").aval.ndim for at in arrays) and all(lengths))
    need(len({at.aval.dtype for at in arrays}) == 1 and arrays[0].aval.dtype.itemsize >= 4)
    k = len(arrays)

    def forward(w: Writer, x: Atom, *at: Atom) -> Atom:
        places = _places(w, lengths, at)
        n = len(places.aval.shape) - 1
        rest = lengths[k:]
        return w.emit(
            lax.gather_p, (x, places), places.aval.shape[:-1] + rest, x.aval.dtype,
            dimension_numbers=GatherDimensionNumbers(
                offset_dims=tuple(range(n, n + len(rest))), collapsed_slice_dims=tuple(range(k)),
                start_index_map=tuple(range(k)),
            ),
            slice_sizes=(1,) * k + rest, indices_are_sorted=False, unique_indices=False,
            mode=GatherScatterMode.PROMISE_IN_BOUNDS, fill_value=None,
        )  # fmt: skip

    def pull(w: Writer, eqn: Any, ct: Atom) -> dict[int, Atom]:
        return {0: _returned(w, ct, eqn.invars[1:], lengths)}

    return custom(w, [x, *arrays], forward, pull, Taken(lengths[:k]))


def _returned(w: Writer, ct: Atom, arrays: Sequence[Any], lengths: tuple[int, ...]) -> Atom:
    """Zeros with the elements of `ct` added where x[arrays] took them."""
    k, dtype = len(arrays), ct.aval.dtype

    def forward(w: Writer, ct: Atom, *at: Atom) -> Atom:
        places = _places(w, lengths, at)
        n = len(places.aval.shape) - 1
        numbers = lax.ScatterDimensionNumbers(
            update_window_dims=tuple(range(n, ct.aval.ndim)), inserted_window_dims=tuple(range(k)),
            scatter_dims_to_operand_dims=tuple(range(k)),
        )  # fmt: skip
        return w.emit(
            lax.scatter_add_p, (w.full(lengths, 0, dtype), places, ct), lengths, dtype,
            dimension_numbers=numbers, indices_are_sorted=False, unique_indices=False,
            mode=GatherScatterMode.PROMISE_IN_BOUNDS, **adding(dtype),
        )  # fmt: skip

    def pull(w: Writer, eqn: Any, again: Atom) -> dict[int, Atom]:
        return {0: _gathered(w, again, eqn.invars[1:])}

    return custom(w, [ct, *arrays], forward, pull, Returned(lengths, dtype, k))


def _places(w: Writer, lengths: Sequence[int], arrays: Sequence[Any]) -> Atom:
    """Indices along a last axis, counted from the front."""
    n = max(at.aval.ndim for at in arrays)
    columns = []
    for at, length in zip(arrays, lengths, strict=False):
        dtype = at.aval.dtype
        below = w.binary(lax.lt_p, at, w.number(0, dtype), BOOL)
        at = w.select(below, at, w.binary(lax.add_p, at, w.number(length, dtype)))
        columns.append(ranked(w, at, n))
    shape = tuple([max(c.aval.shape[i] for c in columns) for i in range(n)])
    need(all(m in (1, k) for c in columns for m, k in zip(c.aval.shape, shape, strict=True)) and all(shape))
    axes = tuple(range(n))
    return w.concatenate([w.broadcast(w.broadcast(c, shape, axes), (*shape, 1), axes) for c in columns], n)
