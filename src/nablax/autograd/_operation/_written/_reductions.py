"""Many elements to one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._ground._aval import X64
from .._custom import whole
from .._writer import BOOL, Atom, Writer
from ._rule import Rule, axes_of, axis_of, need, strong

WIDE = (np.dtype("float32"), np.dtype("float64"))  # summed as they are


def _kept(w: Writer, x: Atom, shape: tuple[int, ...], axes: tuple[int, ...]) -> Atom:
    """What was reduced, with axes of length 1 where they were."""
    long = tuple([1 if i in axes else n for i, n in enumerate(shape)])
    return w.broadcast(x, long, tuple([i for i in range(len(shape)) if i not in axes]))


def _over(x: Any, dim: Any, dtype: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = strong(x).aval.shape
    need(dtype is None and x.aval.dtype in WIDE and math.prod(shape))
    return shape, axes_of(dim, len(shape))


def total(w: Writer, x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Atom:
    if strong(x, "fb").aval.dtype == BOOL:
        need(not X64.value)
        x = w.convert(x, "int32")
        shape, axes = x.aval.shape, axes_of(dim, x.aval.ndim)
        need(dtype is None)
    else:
        shape, axes = _over(x, dim, dtype)
    need(axes)
    found = w.sum(x, axes)
    return _kept(w, found, shape, axes) if keepdim else found


def mean(w: Writer, x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Atom:
    shape, axes = _over(x, dim, dtype)
    found = total(w, x, dim, keepdim)
    return w.div(found, w.number(math.prod([shape[i] for i in axes]), x.aval.dtype))


def _extreme(of: Callable[[Writer, Atom, tuple[int, ...]], Atom]) -> Rule:
    def rule(w: Writer, x: Any, dim: Any = None, keepdim: bool = False) -> Atom:
        shape, axes = _over(x, dim, None)
        need(axes)
        found = of(w, x, axes)
        return _kept(w, found, shape, axes) if keepdim else found

    return rule


largest, smallest = _extreme(Writer.max), _extreme(Writer.min)


def where_largest(w: Writer, x: Any, dim: Any = None, keepdim: bool = False) -> Atom:
    shape, axes = _over(x, dim, None)
    need(len(axes) == 1 and not keepdim and not X64.value)
    dtype = np.dtype("int32")
    left = tuple([n for i, n in enumerate(shape) if i not in axes])
    return w.emit(lax.argmax_p, (x,), left, dtype, axes=axes, index_dtype=dtype)


def _centred(w: Writer, x: Atom, axis: int) -> tuple[Atom, Atom]:
    """x minus its largest along an axis, and the exponential of that."""
    low = w.sub(x, _kept(w, w.max(x, (axis,)), x.aval.shape, (axis,)))
    return low, w.unary(lax.exp_p, low, accuracy=None)


def _summed(w: Writer, x: Atom, axis: int) -> Atom:
    return _kept(w, w.sum(x, (axis,)), x.aval.shape, (axis,))


def _soft(dim: Any, x: Any, dtype: Any) -> int:
    need(dtype is None and strong(x).aval.dtype in WIDE and math.prod(x.aval.shape))
    return axis_of(-1 if dim is None else dim, x.aval.ndim)


def softmax(w: Writer, x: Any, dim: Any = None, *, dtype: Any = None) -> Atom:
    axis = _soft(dim, x, dtype)

    def forward(w: Writer, x: Atom) -> Atom:
        _, e = _centred(w, x, axis)
        return w.div(e, _summed(w, e, axis))

    def pull(w: Writer, ct: Atom, x: Atom, y: Atom) -> Atom:
        return w.mul(y, w.sub(ct, _summed(w, w.mul(ct, y), axis)))

    return whole(w, x, forward, pull)


def log_softmax(w: Writer, x: Any, dim: Any = None, *, dtype: Any = None) -> Atom:
    axis = _soft(dim, x, dtype)

    def forward(w: Writer, x: Atom) -> Atom:
        low, e = _centred(w, x, axis)
        return w.sub(low, w.unary(lax.log_p, _summed(w, e, axis), accuracy=None))

    def pull(w: Writer, ct: Atom, x: Atom, y: Atom) -> Atom:
        return w.sub(ct, w.mul(w.unary(lax.exp_p, y, accuracy=None), _summed(w, ct, axis)))

    return whole(w, x, forward, pull)


def logsumexp(w: Writer, x: Any, dim: Any = None, keepdim: bool = False) -> Atom:
    axis = _soft(dim, x, None)
    need(dim is not None and x.aval.ndim > 1)

    def forward(w: Writer, x: Atom) -> Atom:
        top = w.max(x, (axis,))
        finite = w.emit(lax.is_finite_p, (top,), top.aval.shape, BOOL)
        top = w.select(finite, w.full(top.aval.shape, 0, x.aval.dtype), top)
        low = w.sub(x, _kept(w, top, x.aval.shape, (axis,)))
        rest = w.sum(w.unary(lax.exp_p, low, accuracy=None), (axis,))
        found = w.add(w.unary(lax.log_p, rest, accuracy=None), top)
        return _kept(w, found, x.aval.shape, (axis,)) if keepdim else found

    def pull(w: Writer, ct: Atom, x: Atom, y: Atom) -> Atom:
        ct, y = (v if keepdim else _kept(w, v, x.aval.shape, (axis,)) for v in (ct, y))
        return w.mul(ct, w.unary(lax.exp_p, w.sub(x, y), accuracy=None))

    return whole(w, x, forward, pull)


def norm(
    w: Writer, x: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Atom:
    """The root of the sum of squares; slope 0 at 0."""
    need(p in ("fro", None, 2))
    squares = total(w, w.unary(lax.square_p, strong(x)), dim, keepdim, dtype=dtype)

    def slope(w: Writer, ct: Atom, x: Atom, y: Atom) -> Atom:
        number = w.number(0, y.aval.dtype)
        zero = w.compare(lax.eq_p, y, number)
        one, none = (w.full(y.aval.shape, n, y.aval.dtype) for n in (1, 0))
        if not y.aval.shape:
            one, none = w.number(1, y.aval.dtype), number
        half = w.div(w.scaled(ct, 0.5), w.select(zero, y, one))
        return w.emit(lax.select_n_p, (zero, half, none), y.aval.shape, y.aval.dtype)

    return whole(w, squares, lambda w, x: w.unary(lax.sqrt_p, x, accuracy=None), slope)


def _numpys(rule: Rule) -> Rule:
    """With NumPy's words for the arguments."""

    def named(w: Writer, x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Atom:
        need(dtype is None)
        return rule(w, x, axis, keepdims)

    return named


def _along(rule: Rule) -> Rule:
    """With JAX's word for the axis, where None is all of them."""

    def named(w: Writer, x: Any, axis: Any = -1) -> Atom:
        need(axis is not None)
        return rule(w, x, axis)

    return named


RULES: dict[Any, Rule] = {
    jnp.sum: _numpys(total), jnp.mean: _numpys(mean),
    jnp.max: lambda w, x, axis=None, out=None, keepdims=False: largest(w, x, axis, keepdims),
    jnp.min: lambda w, x, axis=None, out=None, keepdims=False: smallest(w, x, axis, keepdims),
    jnp.argmax: lambda w, x, axis=None: where_largest(w, x, axis),
    jax.nn.softmax: _along(softmax), jax.nn.log_softmax: _along(log_softmax),
}  # fmt: skip
