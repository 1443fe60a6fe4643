"""Reductions, scans along an axis, sorting and products of matrices."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ._shapes import same

Rule = Callable[..., Callable[..., Any] | None]
HALF = np.dtype(np.float16)
LONG, FEW = 1024, 8  # elements up to which a sum stays as exact as a product; results from which on it pays
MANY, SHORT = 32, 64  # rows, and elements of each, whose largest is found quicker down the columns

_ONES = {char: np.ones(LONG, char) for char in "fd"}


def _summed(x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Callable[..., Any]:
    """The sum over axes; of neighbouring ones as a product with ones, which is several times as quick."""
    dtype, n = x.dtype, len(axes)
    together = n and axes == tuple(range(axes[0], axes[0] + n))
    length = math.prod([x.shape[i] for i in axes])
    if length == 1:
        return same if x.shape == shape else lambda x: x.reshape(shape)
    if dtype.char not in "fd" or not together or length > LONG or math.prod(shape) < FEW:
        return lambda x: np.add.reduce(x, axes, dtype)
    ones = _ONES[dtype.char][:length]
    before, after = math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[0] + n :])
    if after == 1:
        if x.ndim == 2:
            return lambda x: np.matmul(x, ones).reshape(shape)
        return lambda x: np.matmul(x.reshape(before, length), ones).reshape(shape)
    if before == 1:
        return lambda x: np.matmul(ones, x.reshape(length, after)).reshape(shape)
    row = ones.reshape(1, length)
    return lambda x: np.matmul(row, x.reshape(before, length, after)).reshape(shape)


def _reduce(ufunc: np.ufunc, kinds: str) -> Rule:
    def rule(ins: list[Any], outs: list[Any], axes: Any, **_: Any) -> Callable[..., Any] | None:
        if ins[0].dtype.kind not in kinds or (ufunc.identity is None and not ins[0].size):
            return None
        dtype = ins[0].dtype
        if dtype == HALF and ufunc in (np.add, np.multiply):
            return lambda x: ufunc.reduce(x, axes, np.float32).astype(HALF)
        if ufunc is np.add:
            return _summed(ins[0], tuple(axes), outs[0].shape)
        if ufunc is np.multiply:
            return lambda x: ufunc.reduce(x, axes, dtype)
        rows, n = outs[0].size, ins[0].shape[-1] if ins[0].shape else 0
        if tuple(axes) == (ins[0].ndim - 1,) and rows >= MANY and n <= SHORT:
            return lambda x: ufunc.reduce(x.reshape(rows, n).T.copy(), 0).reshape(outs[0].shape)
        return lambda x: ufunc.reduce(x, axes)

    return rule


def _arg(function: Callable[..., Any]) -> Rule:
    def rule(ins: list[Any], outs: list[Any], axes: Any, index_dtype: Any) -> Callable[..., Any] | None:
        (axis,) = axes
        if ins[0].dtype.kind not in "fiub" or not ins[0].size:
            return None
        return lambda x: function(x, axis).astype(index_dtype)

    return rule


def _cumulate(ufunc: np.ufunc) -> Rule:
    def rule(ins: list[Any], outs: list[Any], axis: int, reverse: bool) -> Callable[..., Any] | None:
        dtype = ins[0].dtype
        if dtype.kind not in "fiuc" or dtype == HALF:
            return None
        if not reverse:
            return lambda x: ufunc.accumulate(x, axis, dtype)
        return lambda x: np.flip(ufunc.accumulate(np.flip(x, axis), axis, dtype), axis)

    return rule


def _sort(ins: list[Any], outs: list[Any], dimension: int, is_stable: bool, num_keys: int) -> Any:
    if num_keys != 1 or ins[0].dtype.kind not in "fiub":
        return None
    if len(ins) == 1:
        return lambda x: [np.sort(x, dimension, "stable")]

    def sorted_by_first(*xs: Any) -> list[Any]:
        order = np.argsort(xs[0], dimension, "stable")
        return [np.take_along_axis(x, order, dimension) for x in xs]

    return sorted_by_first


def _dot(
    ins: list[Any], outs: list[Any], dimension_numbers: Any, preferred_element_type: Any, **_: Any
) -> Any:
    out = outs[0]
    if out.dtype.char in "fd" and ins[0].dtype == out.dtype == ins[1].dtype:
        return _product(ins, out.shape, dimension_numbers)
    kinds = {a.dtype.kind for a in ins}
    if len(kinds) != 1 or not kinds <= set("fciu") or out.dtype.kind not in kinds:
        return None
    if any(a.dtype == HALF for a in (*ins, out)):
        return _half(ins, out, dimension_numbers)
    function = _product(ins, out.shape, dimension_numbers)
    if all(a.dtype == out.dtype for a in ins):
        return function
    return lambda a, b: function(a.astype(out.dtype), b.astype(out.dtype))


def _half(ins: list[Any], out: Any, dimension_numbers: Any) -> Callable[..., Any]:
    function = _product(ins, out.shape, dimension_numbers)
    return lambda a, b: function(a.astype(np.float32), b.astype(np.float32)).astype(out.dtype)


def _product(ins: list[Any], shape: tuple[int, ...], numbers: Any) -> Callable[..., Any]:
    (over_a, over_b), (batch_a, batch_b) = numbers
    a, b = ins
    if not batch_a and a.ndim == b.ndim == 2 and len(over_a) == 1:
        return {
            (1, 0): operator.matmul,
            (0, 0): lambda a, b: a.T @ b,
            (1, 1): lambda a, b: a @ b.T,
            (0, 1): lambda a, b: a.T @ b.T,
        }[over_a[0], over_b[0]]
    if not batch_a and a.ndim == b.ndim == 1:
        return np.dot if len(over_a) == 1 else lambda a, b: a[:, None] * b
    if not batch_a and a.ndim + b.ndim == 3 and len(over_a) == 1:  # a vector and a matrix
        axis = over_b[0] if a.ndim == 1 else over_a[0]  # of the matrix
        return operator.matmul if axis == a.ndim - 1 else lambda a, b: b @ a
    free_a = [i for i in range(a.ndim) if i not in over_a and i not in batch_a]
    free_b = [i for i in range(b.ndim) if i not in over_b and i not in batch_b]
    turn_a, turn_b = (*batch_a, *free_a, *over_a), (*batch_b, *over_b, *free_b)
    batch = tuple(a.shape[i] for i in batch_a)
    inner = int(np.prod([a.shape[i] for i in over_a], dtype=int))
    flat_a = (*batch, int(np.prod([a.shape[i] for i in free_a], dtype=int)), inner)
    flat_b = (*batch, inner, int(np.prod([b.shape[i] for i in free_b], dtype=int)))
    return lambda a, b: np.matmul(
        a.transpose(turn_a).reshape(flat_a), b.transpose(turn_b).reshape(flat_b)
    ).reshape(shape)


RULES: dict[str, Rule] = {
    "reduce_sum": _reduce(np.add, "fiuc"), "reduce_prod": _reduce(np.multiply, "fiuc"),
    "reduce_max": _reduce(np.maximum, "fiub"), "reduce_min": _reduce(np.minimum, "fiub"),
    "reduce_and": _reduce(np.bitwise_and, "iub"), "reduce_or": _reduce(np.bitwise_or, "iub"),
    "reduce_xor": _reduce(np.bitwise_xor, "iub"), "argmax": _arg(np.argmax), "argmin": _arg(np.argmin),
    "cumsum": _cumulate(np.add), "cumprod": _cumulate(np.multiply), "cummax": _cumulate(np.maximum),
    "cummin": _cumulate(np.minimum), "sort": _sort, "dot_general": _dot,
}  # fmt: skip
