"""Convolutions, and reductions of windows: what pooling is made of."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._elementwise import by_bits, or_zero
from ._reductions import HALF, Rule

MOST_COPIED = 2**25  # elements of all windows, copied side by side; beyond that XLA is better
MOST_OFFSETS = 64  # places in a window


def _spread(x: Any, dilation: Sequence[int], padding: Sequence[tuple[int, int]], fill: Any) -> Any:
    """An array with `dilation - 1` gaps between entries, and padding (or, where negative, less of it) around."""
    if any(d > 1 for d in dilation):
        wide = np.full([n and (n - 1) * d + 1 for n, d in zip(x.shape, dilation, strict=True)], fill, x.dtype)
        wide[tuple(slice(None, None, d) for d in dilation)] = x
        x = wide
    if any(low > 0 or high > 0 for low, high in padding):
        more = [(max(low, 0), max(high, 0)) for low, high in padding]
        wide = np.full([n + low + high for n, (low, high) in zip(x.shape, more, strict=True)], fill, x.dtype)
        wide[tuple(slice(low, low + n) for n, (low, _) in zip(x.shape, more, strict=True))] = x
        x = wide
    if any(low < 0 or high < 0 for low, high in padding):
        x = x[tuple(slice(max(-low, 0), min(high, 0) or None) for low, high in padding)]
    return x


def _convolution(
    ins: list[Any],
    outs: list[Any],
    *,
    dimension_numbers: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    feature_group_count: int,
    batch_group_count: int,
    preferred_element_type: Any,
) -> Callable[..., Any] | None:
    """All windows side by side, and one product of matrices for each group."""
    lhs, rhs, out = *ins, outs[0]
    if not lhs.dtype == rhs.dtype == out.dtype or out.dtype.kind not in "fc" or out.dtype == HALF:
        return None
    if not lhs.size or not rhs.size or not out.size:
        return None
    n = len(window_strides)
    turn, turn_kernel, spec = dimension_numbers
    back = tuple(np.argsort(spec))
    shape = [rhs.shape[i] for i in turn_kernel]
    kernel = shape[2:]
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, rhs_dilation, strict=True))
    result = [out.shape[i] for i in spec]
    groups, features = feature_group_count * batch_group_count, result[1]
    copied = lhs.shape[turn[0]] * lhs.shape[turn[1]] * math.prod(result[2:]) * math.prod(kernel)
    if copied > MOST_COPIED:
        return None
    gaps, pads = (1, 1, *lhs_dilation), ((0, 0), (0, 0), *padding)
    if groups == 1:
        return _ungrouped(
            lhs, rhs, result, dimension_numbers, window_strides, padding, lhs_dilation, rhs_dilation
        )
    steps = tuple(slice(None, None, s) for s in window_strides)
    inside = tuple(slice(None, None, d) for d in rhs_dilation)
    axes = tuple(range(2, 2 + n))
    here, there = tuple(range(3, 3 + n)), tuple(range(3 + n, 3 + 2 * n))
    inner = shape[1] * math.prod(kernel)

    def convolve(x: Any, w: Any) -> Any:
        x = _spread(x.transpose(turn), gaps, pads, 0)
        seen = sliding_window_view(x, extent, axes)[(slice(None), slice(None), *steps, *inside)]
        if batch_group_count > 1:
            seen = seen.reshape(groups, seen.shape[0] // groups, *seen.shape[1:])
        else:
            seen = seen.reshape(seen.shape[0], groups, seen.shape[1] // groups, *seen.shape[2:]).swapaxes(
                0, 1
            )
        rows = seen.transpose(0, 1, *here, 2, *there).reshape(groups, -1, inner)
        weights = w.transpose(turn_kernel).reshape(groups, features // groups, inner)
        made = np.matmul(rows, weights.swapaxes(1, 2)).reshape(
            groups, result[0], *result[2:], features // groups
        )
        made = made.transpose(1, 0, n + 2, *range(2, n + 2)).reshape(result)
        return made.transpose(back)

    return convolve


def _ungrouped(
    lhs: Any,
    rhs: Any,
    result: Sequence[int],
    numbers: Any,
    strides: Sequence[int],
    padding: Any,
    gaps: Sequence[int],
    dilation: Sequence[int],
) -> Callable[..., Any]:
    """Channels last, so that what a window holds of a row lies side by side, and one product of matrices."""
    turn, turn_kernel, spec = numbers
    turn = (turn[0], *turn[2:], turn[1])
    turn_kernel = (turn_kernel[0], *turn_kernel[2:], turn_kernel[1])
    n, dtype = len(strides), lhs.dtype
    features, kernel = rhs.shape[turn_kernel[0]], [rhs.shape[i] for i in turn_kernel[1:-1]]
    gaps, pads = (1, *gaps, 1), ((0, 0), *padding, (0, 0))
    wide = [
        (m and (m - 1) * d + 1) + low + high
        for m, d, (low, high) in zip([lhs.shape[i] for i in turn], gaps, pads, strict=True)
    ]
    size = [math.prod(wide[k + 1 :]) * dtype.itemsize for k in range(n + 2)]
    shape = (wide[0], *result[2:], *kernel, wide[-1])
    steps = (
        size[0],
        *[a * s for a, s in zip(size[1:-1], strides, strict=True)],
        *[a * d for a, d in zip(size[1:-1], dilation, strict=True)],
        size[-1],
    )
    inner = math.prod(kernel) * wide[-1]
    made_shape = (wide[0], *result[2:], features)
    places = (0, n + 1, *range(1, n + 1))  # of batch, features and the rest in what is made
    back = tuple(places[i] for i in np.argsort(spec))

    def convolve(x: Any, w: Any) -> Any:
        x = np.ascontiguousarray(_spread(x.transpose(turn), gaps, pads, 0))
        rows = np.ndarray(shape, dtype, x, 0, steps).reshape(-1, inner)
        weights = w.transpose(turn_kernel).reshape(features, inner)
        return rows.dot(weights.T).reshape(made_shape).transpose(back)

    return convolve


def _offsets(
    window: Sequence[int], strides: Sequence[int], dilation: Sequence[int], out: Sequence[int]
) -> Iterator:
    """For each place in a window, where the entries at that place lie in the padded array."""
    for place in itertools.product(*map(range, window)):
        yield tuple(
            slice(p * d, p * d + (n - 1) * s + 1, s)
            for p, s, d, n in zip(place, strides, dilation, out, strict=True)
        )


def _windows(ufunc: np.ufunc, lowest: bool | None) -> Rule:
    """Reductions of windows. lowest: whether padding is the lowest value there is, or the highest; None is zero."""

    def rule(
        ins: list[Any],
        outs: list[Any],
        *,
        window_dimensions: Any,
        window_strides: Any,
        padding: Any,
        base_dilation: Any,
        window_dilation: Any,
    ) -> Callable[..., Any] | None:
        dtype, shape = ins[0].dtype, outs[0].shape
        if dtype.kind not in "fiu" or dtype == HALF or math.prod(window_dimensions) > MOST_OFFSETS:
            return None
        if not ins[0].size or not outs[0].size:
            return None
        fill = 0 if lowest is None else _end(dtype, lowest)
        places = list(_offsets(window_dimensions, window_strides, window_dilation, shape))

        def reduce(x: Any) -> Any:
            x = _spread(x, base_dilation, padding, fill)
            found = x[places[0]].copy()
            for place in places[1:]:
                ufunc(found, x[place], out=found)
            return found

        return reduce

    return rule


def _end(dtype: Any, lowest: bool) -> Any:
    if dtype.kind == "f":
        return -np.inf if lowest else np.inf
    return np.iinfo(dtype).min if lowest else np.iinfo(dtype).max


def _scatter(
    ins: list[Any],
    outs: list[Any],
    *,
    select_prim: Any,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
) -> Callable[..., Any] | None:
    """The pullback of a maximum or minimum of windows: each entry of the source goes to the entry that was chosen.

    As in XLA on a CPU, padding may be chosen, by which the gradient is lost: before it a window holds only what is
    no better, or NaN.
    """
    compare = {"ge": operator.ge, "le": operator.le}.get(select_prim.name)
    source, array = ins
    if compare is None or source.dtype.kind != "f" or source.dtype == HALF or not source.size:
        return None
    if math.prod(window_dimensions) > MOST_OFFSETS or any(low < 0 or high < 0 for low, high in padding):
        return None
    ones = (1,) * array.ndim
    places = list(_offsets(window_dimensions, window_strides, ones, source.shape))
    fill = _end(array.dtype, select_prim.name == "ge")
    choose, within_mask = by_bits(array.dtype), or_zero(source.dtype, True)
    if choose is None or within_mask is None or len(places) > 255:
        return None
    within = tuple(slice(low, low + n) for (low, _), n in zip(padding, array.shape, strict=True))

    def scatter(ct: Any, x: Any) -> Any:
        x = _spread(x, ones, padding, fill)
        best, chosen = x[places[0]].copy(), np.zeros(ct.shape, np.uint8)
        for k, place in enumerate(places[1:], 1):
            new = x[place]
            better = ~compare(best, new)
            if k + 1 < len(places):
                best = choose(better, best, new)
            np.maximum(chosen, better.view(np.uint8) * np.uint8(k), out=chosen)
        made = np.zeros(x.shape, ct.dtype)
        for k, place in enumerate(places):
            made[place] += within_mask(chosen == k, ct)
        return made[within]

    return scatter


RULES: dict[str, Rule] = {
    "conv_general_dilated": _convolution, "select_and_scatter_add": _scatter,
    "reduce_window_max": _windows(np.maximum, True), "reduce_window_min": _windows(np.minimum, False),
    "reduce_window_sum": _windows(np.add, None),
}  # fmt: skip
