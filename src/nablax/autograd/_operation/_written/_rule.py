"""What rules have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import Literal, Var

from .._writer import Atom, Writer

Rule = Callable[..., Atom]


class Unwritten(Exception):
    """What a rule leaves to JAX's trace."""


def need(condition: Any) -> None:
    """Leave it to JAX unless this holds."""
    if not condition:
        raise Unwritten


def _is_array(x: Any) -> bool:
    return x.__class__ is Var


def strong(x: Any, kinds: str = "f") -> Any:
    """An array of one of these kinds, whose dtype is not that of a Python number."""
    need(_is_array(x))
    need(x.aval.dtype.kind in kinds and not x.aval.weak_type)
    return x


def axes_of(dim: Any, n: int) -> tuple[int, ...]:
    """Axes counted from the front, ascending; all of them for None."""
    if dim is None:
        return tuple(range(n))
    given = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    need(given and all(type(d) is int and -n <= d < n for d in given))
    found = tuple(sorted({d % n for d in given}))
    need(len(found) == len(given))
    return found


def axis_of(dim: Any, n: int) -> int:
    """One axis, counted from the front."""
    need(type(dim) is int and -n <= dim < n)
    return dim % n


def operands(w: Writer, a: Any, b: Any, kinds: str = "f") -> tuple[Atom, Atom]:
    """Two arrays of one dtype, or one and a Python number, as elementwise operations take them: of one rank, or one of
    them a number."""
    if not _is_array(b):
        return strong(a, kinds), _number(w, b, a.aval.dtype)
    if not _is_array(a):
        return _number(w, a, strong(b, kinds).aval.dtype), b
    if a.aval.weak_type:
        a, b = _settled(w, a, strong(b, kinds)), b
    elif b.aval.weak_type:
        b = _settled(w, b, strong(a, kinds))
    else:
        need(a.aval.dtype.kind in kinds and a.aval.dtype == b.aval.dtype)
    m, n = len(a.aval.shape), len(b.aval.shape)
    if m and n:
        need(
            all(
                i == j or i == 1 or j == 1
                for i, j in zip(a.aval.shape[::-1], b.aval.shape[::-1], strict=False)
            )
        )
        a, b = ranked(w, a, n), ranked(w, b, m)
    return a, b


def ranked(w: Writer, x: Atom, n: int) -> Atom:
    """An array with axes of length 1 in front, so that it has n."""
    k = n - len(x.aval.shape)
    return x if k <= 0 else w.broadcast(x, (1,) * k + x.aval.shape, tuple(range(k, n)))


def _settled(w: Writer, x: Any, other: Any) -> Atom:
    """An array that was a Python number, with the dtype of the array beside it."""
    dtype, kind = other.aval.dtype, x.aval.dtype.kind
    need(not x.aval.shape and (kind == dtype.kind or (kind == "i" and dtype.kind == "f")))
    return w.emit(
        lax.convert_element_type_p, (x,), (), dtype, new_dtype=dtype, weak_type=False, sharding=None
    )


def _number(w: Writer, value: Any, dtype: Any) -> Atom:
    kind = type(value)
    if kind is Literal:
        need(value.aval.dtype == dtype and not value.aval.weak_type and not value.aval.shape)
        return value
    need(kind is float or kind is int)
    if dtype.kind == "f":
        need(math.isfinite(value) and abs(value) <= np.finfo(dtype).max)
    else:
        need(kind is int and dtype.kind == "i" and abs(value) <= np.iinfo(dtype).max)
    return w.number(value, dtype)
