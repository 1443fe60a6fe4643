"""Gather and scatter where single elements of some axes are picked and the others are whole: indexing by arrays,
embeddings, take_along_axis, and what their derivatives add back. Other forms are left to XLA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.lax import GatherScatterMode as Mode

FEW = 8  # rows up to which adding one by one is quicker than sorting them
SMALL = 32_768  # elements up to which rows are added element by element
LENGTH = 64  # of an axis up to which a product of matrices adds rows to it sooner

Rule = Callable[..., Callable[..., Any] | None]


class _Places:
    """Where the picked elements lie.

    first: axes of the operand that are picked from, in the order of the indices' last axis, then the batched ones.
    rest: the other axes.
    """

    def __init__(self, operand: Any, indices: Any, picked: Any, batched: Any, index_batched: Any) -> None:
        self.picked, self.batched = tuple(picked), tuple(batched)
        self.first = (*self.picked, *self.batched)
        self.rest = tuple(i for i in range(operand.ndim) if i not in self.first)
        self.lengths = [operand.shape[i] for i in self.picked]
        self.shape = indices.shape[:-1]
        self.own = []
        for axis in index_batched:
            at = [1] * len(self.shape)
            at[axis] = self.shape[axis]
            self.own.append(np.arange(self.shape[axis]).reshape(at))

    def clipped(self, indices: Any) -> tuple:
        """Indices moved inside."""
        found = [np.minimum(np.maximum(indices[..., k], 0), n - 1) for k, n in enumerate(self.lengths)]
        return (*found, *self.own)

    def inside(self, indices: Any) -> np.ndarray:
        """Which lie inside."""
        found = np.ones(self.shape, bool)
        for k, n in enumerate(self.lengths):
            found &= (indices[..., k] >= 0) & (indices[..., k] < n)
        return found


def _gather(
    ins: list[Any],
    outs: list[Any],
    dimension_numbers: Any,
    slice_sizes: Any,
    mode: Any,
    fill_value: Any,
    **_: Any,
) -> Callable[..., Any] | None:
    d = dimension_numbers
    x, indices = ins
    places = _Places(x, indices, d.start_index_map, d.operand_batching_dims, d.start_indices_batching_dims)
    whole = all(slice_sizes[i] == x.shape[i] for i in places.rest)
    single = set(d.collapsed_slice_dims) == set(places.picked) and all(
        slice_sizes[i] == 1 for i in places.first
    )
    if not (whole and single) or not x.size or set(places.rest) & {*d.collapsed_slice_dims}:
        return None
    out = outs[0]
    batch = [i for i in range(out.ndim) if i not in d.offset_dims]
    order = np.argsort([*batch, *d.offset_dims]).tolist()
    turn = (*places.first, *places.rest)
    moved = turn != tuple(range(x.ndim))
    back = order != list(range(out.ndim))
    fill = Mode.from_any(mode) == Mode.FILL_OR_DROP
    if fill_value is None:
        kind = x.dtype.kind
        fill_value = np.nan if kind in "fc" else True if kind == "b" else (
            np.iinfo(x.dtype).min if kind == "i" else np.iinfo(x.dtype).max
        )  # fmt: skip

    def gathered(x: Any, indices: Any) -> Any:
        if moved:
            x = x.transpose(turn)
        found = x[places.clipped(indices)]
        if fill:
            inside = places.inside(indices)
            if not inside.all():
                inside = inside.reshape(inside.shape + (1,) * (found.ndim - inside.ndim))
                found = np.where(inside, found, np.asarray(fill_value, found.dtype))
        return found.transpose(order) if back else found

    return gathered


def _scatter(at: Callable[..., Any] | None) -> Rule:
    def rule(
        ins: list[Any], outs: list[Any], dimension_numbers: Any, mode: Any, update_jaxpr: Any = None, **_: Any
    ) -> Callable[..., Any] | None:
        d = dimension_numbers
        x, indices, updates = ins
        places = _Places(
            x,
            indices,
            d.scatter_dims_to_operand_dims,
            d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )
        windows = [updates.shape[i] for i in d.update_window_dims]
        if set(d.inserted_window_dims) != set(places.picked) or windows != [x.shape[i] for i in places.rest]:
            return None
        if not x.size or x.dtype.kind == "b":
            return None
        batch = [i for i in range(updates.ndim) if i not in d.update_window_dims]
        order = (*batch, *d.update_window_dims)
        turn = (*places.first, *places.rest)
        drop = Mode.from_any(mode) != Mode.CLIP  # as XLA does where it was promised that all lie inside

        def scattered(x: Any, indices: Any, updates: Any) -> Any:
            made = np.array(x)
            view = made.transpose(turn)
            updates = updates.transpose(order)
            where = places.clipped(indices)
            if drop:
                inside = places.inside(indices)
                if not inside.all():
                    where = tuple(np.broadcast_to(w, inside.shape)[inside] for w in where)
                    updates = updates[inside]
            if at is None:
                view[where] = updates
            else:
                at(view, where, updates)
            return made

        return scattered

    return rule


def added(into: Any, where: tuple, updates: Any) -> None:
    """Add to elements, or rows, of an array; what meets at one place is summed."""
    rows = into.shape[len(where) :]
    if len(where) != 1 or not rows or where[0].size < FEW:
        np.add.at(into, where, updates)
        return
    at = where[0].reshape(-1)
    if updates.size <= SMALL and into.flags.c_contiguous:  # element by element, which has a loop of its own
        width = math.prod(rows)
        places = at.astype(np.intp)[:, None] * width + np.arange(width)
        np.add.at(into.reshape(-1), places.reshape(-1), updates.reshape(-1))
        return
    updates = updates.reshape(at.size, -1)
    if at.min() < 0:  # from the end: one place may have two numbers
        at = np.where(at < 0, at + len(into), at)
    order = at.argsort(kind="stable")
    at = at[order]
    first = np.flatnonzero(np.concatenate(([True], at[1:] != at[:-1])))
    into[at[first]] += np.add.reduceat(updates[order], first, 0).reshape(-1, *rows)


class Taken:
    """x[arrays], as JAX has it: an index from the end counts, one beyond the axis is moved to its border.

    lengths: of the axes that are indexed.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = tuple(lengths)

    def resized(self, of: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Taken:
        """The same for other sizes, which `of` gives."""
        return Taken(of(self.lengths))

    def counted(self, at: Sequence[Any]) -> list[Any]:
        """The indices, counted from the front."""
        return [np.where(i < 0, i + n, i) for i, n in zip(at, self.lengths, strict=True)]

    def __call__(self, x: Any, *at: Any) -> Any:
        try:
            if len(at) == 1 and x.flags.c_contiguous:
                return x.take(at[0], 0)  # a third of the time for few
            return x[at]
        except IndexError:
            inside = [np.clip(i, 0, n - 1) for i, n in zip(self.counted(at), self.lengths, strict=True)]
            return x[tuple(inside)]


class Returned(Taken):
    """Zeros of a shape, with updates added at x[arrays]; those beyond an axis are dropped."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, axes: int) -> None:
        super().__init__(shape[:axes])
        self.shape, self.dtype = shape, dtype
        self._multiplies = axes == 1 < len(shape) and shape[0] <= LENGTH and np.dtype(dtype).char in "fd"

    def resized(self, of: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Returned:
        return Returned(of(self.shape), self.dtype, len(self.lengths))

    def _multiplied(self, updates: Any, at: Any) -> Any:
        """The same as a product; None where something is not finite, of which zero times is no number."""
        at = at.reshape(-1)
        ones = np.zeros((at.size, self.shape[0]), self.dtype)
        ones[np.arange(at.size), at] = 1
        made = ones.T.dot(updates.reshape(at.size, -1))
        flat = made.reshape(-1)
        return made.reshape(self.shape) if flat.dot(flat) < math.inf else None

    def __call__(self, updates: Any, *at: Any) -> Any:
        try:
            if self._multiplies and at[0].size >= FEW:
                found = self._multiplied(updates, at[0])
                if found is not None:
                    return found
            made = np.zeros(self.shape, self.dtype)
            added(made, at, updates)
        except IndexError:
            made = np.zeros(self.shape, self.dtype)
            places = np.broadcast_arrays(*self.counted(at))
            inside = np.all([(i >= 0) & (i < n) for i, n in zip(places, self.lengths, strict=True)], axis=0)
            added(made, tuple([i[inside] for i in places]), updates[inside])
        return made


RULES: dict[str, Rule] = {
    "gather": _gather,
    "scatter": _scatter(None),
    "scatter-add": _scatter(added),
    "scatter-mul": _scatter(np.multiply.at),
    "scatter-min": _scatter(np.minimum.at),
    "scatter-max": _scatter(np.maximum.at),
}
