"""Reductions, scans along an axis, sorting and products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._calls import said
from ._shapes import reshaped

Rule = Callable[..., Callable[..., Any] | None]
HALF = np.dtype(np.float16)
LONG = 1024  # elements up to which a sum stays as exact as a product
MANY, SHORT = 32, 64  # rows, and elements of each, whose largest is found quicker down the columns

_ONES = {char: np.ones(LONG, char) for char in "fd"}


def _summed(x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Callable[..., Any]:
    """The sum over axes; of neighbouring ones as a product with ones, which is several times as quick."""
    dtype, n = x.dtype, len(axes)
    together = n and axes == tuple(range(axes[0], axes[0] + n))
    length = math.prod([x.shape[i] for i in axes])
    if length == 1:
        return reshaped(x.shape, shape)
    if dtype.char not in "fd" or not together or length > LONG:
        add = np.add.reduce
        return said(
            lambda x: add(x, axes, dtype),
            "{add}({0}, {axes}, {dtype})",
            True,
            add=add,
            axes=axes,
            dtype=dtype,
        )
    ones = _ONES[dtype.char][:length]
    before, after = math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[0] + n :])
    if before == 1:
        flat = (length, after) if after > 1 else (length,)
        return _between(lambda x: ones.dot(x), "{ones}.dot({x})", x.shape, flat, flat[1:], shape, ones=ones)
    if after == 1:
        flat = (before, length)
        return _between(lambda x: x.dot(ones), "{x}.dot({ones})", x.shape, flat, flat[:1], shape, ones=ones)
    row, multiply = ones.reshape(1, length), np.matmul
    return _between(
        lambda x: multiply(row, x), "{multiply}({row}, {x})", x.shape, (before, length, after), (before, 1, after),
        shape, row=row, multiply=multiply,
    )  # fmt: skip


def _between(
    function: Callable[..., Any],
    text: str,
    given: tuple[int, ...],
    flat: tuple[int, ...],
    made: tuple[int, ...],
    shape: tuple[int, ...],
    **names: Any,
) -> Callable[..., Any]:
    """A function of arrays of the shape `flat` that makes those of the shape `made`, for what is `given` and is to
    become `shape`. text: what it says of {x}."""
    before, after = given != flat, made != shape
    text = text.replace("{x}", "{0}.reshape({flat})" if before else "{0}")

    def between(x: Any) -> Any:
        found = function(x.reshape(flat) if before else x)
        return found.reshape(shape) if after else found

    return said(between, text + ".reshape({shape})" * after, True, flat=flat, shape=shape, **names)


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
        reduce = ufunc.reduce
        if tuple(axes) == (ins[0].ndim - 1,) and rows >= MANY and n <= SHORT:
            return _between(
                lambda x: reduce(x.T.copy(), 0), "{reduce}({x}.T.copy(), 0)", ins[0].shape, (rows, n), (rows,),
                outs[0].shape, reduce=reduce,
            )  # fmt: skip
        return said(lambda x: reduce(x, axes), "{reduce}({0}, {axes})", True, reduce=reduce, axes=axes)

    return rule


def _arg(function: str) -> Rule:
    def rule(ins: list[Any], outs: list[Any], axes: Any, index_dtype: Any) -> Callable[..., Any] | None:
        (axis,) = axes
        if ins[0].dtype.kind not in "fiub" or not ins[0].size:
            return None
        find = getattr(np.ndarray, function)
        return said(
            lambda x: find(x, axis).astype(index_dtype), f"{{0}}.{function}({{axis}}).astype({{kind}})", True,
            axis=axis, kind=index_dtype,
        )  # fmt: skip

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
    """By `dot`, a method that needs half as long as `matmul` where matrices are small, and knows more of BLAS."""
    (over_a, over_b), (batch_a, batch_b) = numbers
    a, b = ins
    if not batch_a and a.ndim == b.ndim == 2 and len(over_a) == 1:
        return _MATRICES[over_a[0], over_b[0]]
    if not batch_a and a.ndim == b.ndim == 1:
        return _VECTORS if len(over_a) == 1 else _OUTER
    if not batch_a and a.ndim + b.ndim == 3 and len(over_a) == 1:  # a vector and a matrix
        axis = over_b[0] if a.ndim == 1 else over_a[0]  # of the matrix
        return _VECTORS if axis == a.ndim - 1 else _SWAPPED
    free_a = [i for i in range(a.ndim) if i not in over_a and i not in batch_a]
    free_b = [i for i in range(b.ndim) if i not in over_b and i not in batch_b]
    turn_a, turn_b = (*batch_a, *free_a, *over_a), (*batch_b, *over_b, *free_b)
    batch = tuple(a.shape[i] for i in batch_a)
    inner = math.prod([a.shape[i] for i in over_a])
    flat_a = (*batch, math.prod([a.shape[i] for i in free_a]), inner)
    flat_b = (*batch, inner, math.prod([b.shape[i] for i in free_b]))
    names = {
        "turn_a": turn_a, "turn_b": turn_b, "flat_a": flat_a, "flat_b": flat_b, "shape": shape, "matmul": np.matmul
    }  # fmt: skip
    left = _moved("0", "a", a.shape, turn_a, flat_a)
    right = _moved("1", "b", b.shape, turn_b, flat_b)
    text = f"{{matmul}}({left}, {right})" if batch else f"{left}.dot({right})"
    multiply: Any = np.matmul if batch else np.dot
    return said(
        lambda a, b: multiply(a.transpose(turn_a).reshape(flat_a), b.transpose(turn_b).reshape(flat_b)).reshape(shape),
        text if shape == (*flat_a[:-1], flat_b[-1]) else f"{text}.reshape({{shape}})", True, **names,
    )  # fmt: skip


def _moved(
    place: str, which: str, shape: tuple[int, ...], turn: tuple[int, ...], flat: tuple[int, ...]
) -> str:
    """How an argument is written with its axes turned, and those that belong together as one."""
    text = f"{{{place}}}"
    if turn != tuple(range(len(turn))):
        text += f".transpose({{turn_{which}}})"
    return text if tuple([shape[i] for i in turn]) == flat else f"{text}.reshape({{flat_{which}}})"


# By the axes of both that are summed over.
_MATRICES = {
    (1, 0): said(lambda a, b: a.dot(b), "{0}.dot({1})", True),
    (0, 0): said(lambda a, b: a.T.dot(b), "{0}.T.dot({1})", True),
    (1, 1): said(lambda a, b: a.dot(b.T), "{0}.dot({1}.T)", True),
    (0, 1): said(lambda a, b: a.T.dot(b.T), "{0}.T.dot({1}.T)", True),
}
_VECTORS = said(lambda a, b: a.dot(b), "{0}.dot({1})", True)
_SWAPPED = said(lambda a, b: b.dot(a), "{1}.dot({0})", True)
_OUTER = said(lambda a, b: a[:, None] * b, "{0}[:, None] * {1}", True)

RULES: dict[str, Rule] = {
    "reduce_sum": _reduce(np.add, "fiuc"), "reduce_prod": _reduce(np.multiply, "fiuc"),
    "reduce_max": _reduce(np.maximum, "fiub"), "reduce_min": _reduce(np.minimum, "fiub"),
    "reduce_and": _reduce(np.bitwise_and, "iub"), "reduce_or": _reduce(np.bitwise_or, "iub"),
    "reduce_xor": _reduce(np.bitwise_xor, "iub"), "argmax": _arg("argmax"), "argmin": _arg("argmin"),
    "cumsum": _cumulate(np.add), "cumprod": _cumulate(np.multiply), "cummax": _cumulate(np.maximum),
    "cummin": _cumulate(np.minimum), "sort": _sort, "dot_general": _dot,
}  # fmt: skip
