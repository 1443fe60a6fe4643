"""Pullbacks of convolutions and of pooling.

Along one axis, with stride s, the input stretched by d and the kernel by e, n elements are read under k of the kernel:

    y[o] = sum_j w[j] x[(o s + j e - before) / d]        x where that is whole, and inside

So the cotangent of x is a convolution of that of y, stretched by s, with the kernel reversed; and that of w one of x
with the cotangent as kernel. Along other axes features and batch change places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax

from .._writer import Atom, Writer
from ._elementwise import Pull


def _stretched(lengths: Sequence[int], by: Sequence[int]) -> list[int]:
    return [(n - 1) * d + 1 for n, d in zip(lengths, by, strict=True)]


def _convolution(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    p, (x, kernel) = eqn.params, eqn.invars
    if p["feature_group_count"] != 1 or p["batch_group_count"] != 1 or ct.aval.dtype != x.aval.dtype:
        return NotImplemented
    of_x, of_kernel, of_y = p["dimension_numbers"]
    stride, before = p["window_strides"], [low for low, _ in p["padding"]]
    length, reach, steps = (
        _stretched([v.aval.shape[k] for k in axes[2:]], by)
        for v, axes, by in (
            (x, of_x, p["lhs_dilation"]), (kernel, of_kernel, p["rhs_dilation"]), (ct, of_y, stride),
        )
    )  # fmt: skip
    if not all(x.aval.shape) or not all(kernel.aval.shape) or not all(ct.aval.shape):
        return NotImplemented

    def swapped(axes: Sequence[int]) -> tuple[int, ...]:
        return (axes[1], axes[0], *axes[2:])

    if i:
        ends = [r - 1 + m - n - b for r, m, n, b in zip(reach, steps, length, before, strict=True)]
        lhs, rhs, numbers = x, ct, (swapped(of_x), swapped(of_y), swapped(of_kernel))
        strides, dilations = p["rhs_dilation"], (p["lhs_dilation"], stride)
    else:
        before = [r - 1 - b for r, b in zip(reach, before, strict=True)]
        ends = [n + r - 1 - m - b for n, r, m, b in zip(length, reach, steps, before, strict=True)]
        lhs = ct
        rhs = w.unary(lax.rev_p, kernel, dimensions=tuple(of_kernel[2:]))
        numbers = (of_y, swapped(of_kernel), of_x)
        strides, dilations = p["lhs_dilation"], (stride, p["rhs_dilation"])
    wanted = eqn.invars[i].aval
    changed = {
        "dimension_numbers": lax.ConvDimensionNumbers(*numbers), "window_strides": strides,
        "padding": tuple(zip(before, ends, strict=True)), "lhs_dilation": dilations[0], "rhs_dilation": dilations[1],
    }  # fmt: skip
    return w.emit(eqn.primitive, (lhs, rhs), wanted.shape, wanted.dtype, **{**p, **changed})


def _plainly(p: dict[str, Any]) -> bool:
    return all(d == 1 for d in (*p["base_dilation"], *p["window_dilation"]))


def _extreme(select: Any) -> Pull:
    """To the first of the largest (smallest) of each window."""

    def pull(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
        p, (x,) = eqn.params, eqn.invars
        if not _plainly(p):
            return NotImplemented
        same = {k: p[k] for k in ("window_dimensions", "window_strides", "padding")}
        return w.emit(
            lax.select_and_scatter_add_p, (ct, x), x.aval.shape, ct.aval.dtype, select_prim=select, **same
        )

    return pull


def _sum(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    """To each element of each window."""
    p, n = eqn.params, ct.aval.ndim
    if not _plainly(p) or not all(ct.aval.shape):
        return NotImplemented
    window, stride = p["window_dimensions"], p["window_strides"]
    shape, places = eqn.invars[0].aval.shape, []
    for k, m, (before, _) in zip(range(n), _stretched(ct.aval.shape, stride), p["padding"], strict=True):
        low = window[k] - 1 - before
        places.append((low, shape[k] + window[k] - 1 - m - low, stride[k] - 1))
    ones = (1,) * n
    found = w.pad(ct, places)
    return w.emit(
        eqn.primitive, (found,), shape, ct.aval.dtype,
        **{**p, "window_strides": ones, "padding": ((0, 0),) * n},
    )  # fmt: skip


PULLS: dict[str, Pull] = {
    "conv_general_dilated": _convolution, "reduce_window_sum": _sum,
    "reduce_window_max": _extreme(lax.ge_p), "reduce_window_min": _extreme(lax.le_p),
}  # fmt: skip
