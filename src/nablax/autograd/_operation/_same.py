"""Whether two jaxprs have the same equations, whatever their variables are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal


def equal(a: ClosedJaxpr, b: ClosedJaxpr) -> bool:
    """Whether two jaxprs have the same equations."""
    if len(a.consts) != len(b.consts) or any(
        not _same_value(x, y) for x, y in zip(a.consts, b.consts, strict=True)
    ):
        return False
    return _equal(a.jaxpr, b.jaxpr)


def _equal(a: Any, b: Any) -> bool:
    pairs: dict[Any, Any] = {}

    def bound(xs: Sequence[Any], ys: Sequence[Any]) -> bool:
        if len(xs) != len(ys):
            return False
        for x, y in zip(xs, ys, strict=True):
            pairs[x] = y
            if not _same_kind(x.aval, y.aval):
                return False
        return True

    def same(xs: Sequence[Any], ys: Sequence[Any]) -> bool:
        return len(xs) == len(ys) and all(
            isinstance(y, Literal) and _same_kind(x.aval, y.aval) and _same_value(x.val, y.val)
            if isinstance(x, Literal)
            else pairs.get(x) is y
            for x, y in zip(xs, ys, strict=True)
        )

    if not bound(a.invars, b.invars) or not bound(a.constvars, b.constvars) or len(a.eqns) != len(b.eqns):
        return False
    for x, y in zip(a.eqns, b.eqns, strict=True):
        alike = x.primitive is y.primitive and same(x.invars, y.invars) and bound(x.outvars, y.outvars)
        if not alike or x.params.keys() != y.params.keys():
            return False
        if not all(_same_param(x.params[k], y.params[k]) for k in x.params):
            return False
    return same(a.outvars, b.outvars)


def _same_kind(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.weak_type == b.weak_type


def _same_value(a: Any, b: Any) -> bool:
    if a is b:
        return True
    x, y = np.asarray(a), np.asarray(b)
    return x.shape == y.shape and bool(np.all((x == y) | ((x != x) & (y != y))))


def _same_param(a: Any, b: Any) -> bool:
    if isinstance(a, ClosedJaxpr):
        return isinstance(b, ClosedJaxpr) and equal(a, b)
    if hasattr(a, "eqns"):
        return hasattr(b, "eqns") and _equal(a, b)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same_param, a, b))
    return a is b or bool(a == b) or (a != a and b != b)
