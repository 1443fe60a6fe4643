"""Elements moved, none computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from .._writer import Atom, Writer
from ._rule import Rule, axis_of, need, strong

MOVED = "fiub"


def _ints(sizes: tuple) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    need(all(type(n) is int for n in sizes))
    return sizes


def reshape(w: Writer, x: Any, *shape: Any) -> Atom:
    sizes = _ints(shape)
    n = math.prod(strong(x, MOVED).aval.shape)
    need(sizes.count(-1) <= 1 and all(k >= -1 for k in sizes))
    if -1 in sizes:
        known = -math.prod(sizes)
        need(known > 0 and n % known == 0)
        sizes = tuple([n // known if k == -1 else k for k in sizes])
    need(math.prod(sizes) == n and n and sizes != x.aval.shape)
    return w.reshape(x, sizes)


def turned(w: Writer, x: Any, *order: Any) -> Atom:
    """Axes in another order; reversed if none is given."""
    n = strong(x, MOVED).aval.ndim
    axes = tuple([axis_of(d, n) for d in _ints(order)]) or tuple(range(n))[::-1]
    need(sorted(axes) == list(range(n)) and axes != tuple(range(n)))
    return w.transpose(x, axes)


def permuted(w: Writer, x: Any, *dims: Any) -> Atom:
    """`turned`, by an order of all axes."""
    need(len(_ints(dims)) == strong(x, MOVED).aval.ndim)
    return turned(w, x, *dims)


def swapped(w: Writer, x: Any, axis1: Any, axis2: Any) -> Atom:
    n = strong(x, MOVED).aval.ndim
    order, i, j = list(range(n)), axis_of(axis1, n), axis_of(axis2, n)
    order[i], order[j] = j, i
    return turned(w, x, *order)


def transpose(w: Writer, x: Any, *dims: Any) -> Atom:
    """torch's: two axes swapped, or NumPy's order."""
    return swapped(w, x, *dims) if len(dims) == 2 and type(dims[0]) is int else turned(w, x, *dims)


def unsqueeze(w: Writer, x: Any, dim: Any) -> Atom:
    shape = strong(x, MOVED).aval.shape
    at = axis_of(dim, len(shape) + 1)
    return w.reshape(x, (*shape[:at], 1, *shape[at:]))


def _alike(xs: Any) -> Sequence[Any]:
    need(isinstance(xs, tuple | list) and xs)
    need(all(strong(x, MOVED).aval.dtype == xs[0].aval.dtype and x.aval.ndim == xs[0].aval.ndim for x in xs))
    return xs


def concatenate(w: Writer, arrays: Any, axis: Any = 0) -> Atom:
    first = _alike(arrays)[0].aval
    at = axis_of(axis, first.ndim)
    need(len(arrays) > 1)
    need(
        all(
            m == n or i == at
            for x in arrays
            for i, (m, n) in enumerate(zip(x.aval.shape, first.shape, strict=True))
        )
    )
    return w.concatenate(arrays, at)


def stack(w: Writer, arrays: Any, axis: Any = 0) -> Atom:
    shape = _alike(arrays)[0].aval.shape
    need(len(arrays) > 1 and all(x.aval.shape == shape for x in arrays))
    at = axis_of(axis, len(shape) + 1)
    return w.concatenate([w.reshape(x, (*shape[:at], 1, *shape[at:])) for x in arrays], at)


RULES: dict[Any, Rule] = {
    jnp.transpose: turned, jnp.concatenate: concatenate, jnp.stack: stack, jnp.swapaxes: swapped,
    jnp.matrix_transpose: lambda w, x: swapped(w, x, -1, -2),
}  # fmt: skip
