"""Pullbacks of operations that move elements: the same elements on their way back."""

from __future__ import annotations

import functools
from typing import Any

from jax import lax
from jax.extend.core import Var

from .._writer import Atom, Writer, closed_of, inverse, shaped
from ._elementwise import Pull


def _reshape(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    if eqn.params.get("dimensions") is not None and eqn.primitive is lax.reshape_p:
        return NotImplemented
    return w.reshape(ct, eqn.invars[0].aval.shape)


def _broadcast(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    if len(eqn.invars) != 1:
        return NotImplemented
    before, wide, axes = eqn.invars[0].aval.shape, ct.aval.shape, eqn.params["broadcast_dimensions"]
    kept = [axis for n, axis in zip(before, axes, strict=True) if n == wide[axis]]
    return w.reshape(w.sum(ct, tuple([k for k in range(len(wide)) if k not in kept])), before)


def _transpose(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    return w.transpose(ct, inverse(eqn.params["permutation"]))


def _rev(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    return w.unary(lax.rev_p, ct, dimensions=eqn.params["dimensions"])


def _slice(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    start, steps = eqn.params["start_indices"], eqn.params["strides"]
    config = []
    for k, (n, m) in enumerate(zip(eqn.invars[0].aval.shape, ct.aval.shape, strict=True)):
        step = steps[k] if steps else 1
        config.append((start[k], n - start[k] - (m + max(0, m - 1) * (step - 1)), step - 1))
    return w.pad(ct, config)


def _pad(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    if i:
        return NotImplemented
    config = eqn.params["padding_config"]
    if any(low < 0 or high < 0 for low, high, _ in config):
        return NotImplemented
    limit = [n - high for n, (_, high, _) in zip(ct.aval.shape, config, strict=True)]
    return w.slice(ct, [low for low, _, _ in config], limit, [between + 1 for _, _, between in config])


def _piece(w: Writer, ct: Atom, axis: int, start: int, size: int) -> Atom:
    """The elements from `start` on along an axis."""
    first, last = [0] * len(ct.aval.shape), list(ct.aval.shape)
    first[axis], last[axis] = start, start + size
    return w.slice(ct, first, last)


def _concatenate(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    axis = eqn.params["dimension"]
    sizes = [x.aval.shape[axis] for x in eqn.invars]
    return _piece(w, ct, axis, sum(sizes[:i]), sizes[i])


def _stack(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    return w.reshape(_piece(w, ct, eqn.params["axis"], i, 1), eqn.invars[i].aval.shape)


def _dynamic_slice(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    x, *starts = eqn.invars
    zero = w.full(x.aval.shape, 0, ct.aval.dtype)
    return w.emit(lax.dynamic_update_slice_p, (zero, ct, *starts), x.aval.shape, ct.aval.dtype)


def _dynamic_update_slice(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    _, new, *starts = eqn.invars
    shape, dtype = new.aval.shape, ct.aval.dtype
    if i:
        return w.emit(lax.dynamic_slice_p, (ct, *starts), shape, dtype, slice_sizes=shape)
    return w.emit(lax.dynamic_update_slice_p, (ct, w.full(shape, 0, dtype), *starts), ct.aval.shape, dtype)


def _gather(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    x, indices = eqn.invars
    p, d = eqn.params, eqn.params["dimension_numbers"]
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=d.offset_dims,
        inserted_window_dims=d.collapsed_slice_dims,
        scatter_dims_to_operand_dims=d.start_index_map,
        operand_batching_dims=d.operand_batching_dims,
        scatter_indices_batching_dims=d.start_indices_batching_dims,
    )

    dtype = ct.aval.dtype
    return w.emit(
        lax.scatter_add_p, (w.full(x.aval.shape, 0, dtype), indices, ct), x.aval.shape, dtype,
        dimension_numbers=numbers, indices_are_sorted=p["indices_are_sorted"], unique_indices=p["unique_indices"],
        mode=p["mode"], **adding(dtype),
    )  # fmt: skip


@functools.cache
def adding(dtype: Any) -> dict[str, Any]:
    """The parameters of a scatter that say what is done with two numbers: they are added."""
    a, b, adding = Var(shaped((), dtype)), Var(shaped((), dtype)), Writer()
    return {"update_jaxpr": closed_of([a, b], [adding.add(a, b)], adding.eqns).jaxpr, "update_consts": ()}


PULLS: dict[str, Pull] = {
    "reshape": _reshape, "squeeze": _reshape, "expand_dims": _reshape, "broadcast_in_dim": _broadcast,
    "transpose": _transpose, "rev": _rev, "slice": _slice, "pad": _pad, "concatenate": _concatenate, "stack": _stack,
    "dynamic_slice": _dynamic_slice, "dynamic_update_slice": _dynamic_update_slice, "gather": _gather,
}  # fmt: skip
