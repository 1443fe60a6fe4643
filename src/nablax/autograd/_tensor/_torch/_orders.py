"""What depends on the order of elements: extremes, medians, sorting. Results with indices are torch's named pairs."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp

from ._rows import Row, axis, indices, rows, with_numbers

_PAIRS: dict[str, Any] = {
    name: namedtuple(name, ("values", "indices"))
    for name in ("max", "min", "sort", "median", "nanmedian", "mode", "topk", "kthvalue", "cummax", "cummin")
}


def pair(name: str, values: Any, at: Any) -> Any:
    return _PAIRS[name](values, indices(at))


def _at(input: Any, at: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The elements at one index of an axis, and these."""
    at = jnp.expand_dims(at, dim)
    found = jnp.take_along_axis(input, at, dim)
    return (found, at) if keepdim else (jnp.squeeze(found, dim), jnp.squeeze(at, dim))


def _deep(input: Any) -> Any:
    return jnp.asarray(input).reshape(1) if jnp.ndim(input) == 0 else jnp.asarray(input)


def _extreme(name: str, of_all: Any, where: Any, of_two: Any) -> Any:
    def fn(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if other is not None or isinstance(dim, jax.Array):
            return of_two(input, dim if other is None else other)
        if dim is None:
            return of_all(input)
        if isinstance(dim, tuple | list):
            raise TypeError(f"{name}: dim must be one axis; a{name}(dim) takes several.")
        if jnp.ndim(input) == 0:
            return pair(name, input, jnp.zeros((), int))
        return pair(name, *_at(input, where(input, axis=dim), dim, keepdim))

    return fn


def _sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    if jnp.ndim(input) == 0:
        return pair("sort", input, jnp.zeros((), int))
    at = jnp.argsort(input, axis=dim, descending=descending, stable=True)
    return pair("sort", jnp.take_along_axis(input, at, dim), at)


@jax.custom_jvp
def _shared(x: Any, found: Any) -> Any:
    """An element of x, whose slope all elements that are equal to it share."""
    return found


@_shared.defjvp
def _shared_jvp(primals: Any, tangents: Any) -> Any:
    (x, found), (t, _) = primals, tangents
    same = (x == found) | (jnp.isnan(x) & jnp.isnan(found))
    return _shared(x, found), jnp.where(same, t, 0).sum() / same.sum().astype(t.dtype)


def _of_all(of: Any, input: Any) -> Any:
    """The median of all elements; NaN where there is none."""
    x = jnp.ravel(input)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return of(x, 0)[0]
    return _shared(x, of(x, 0)[0]) if x.size else x.sum() + jnp.nan


def _must_hold_some(name: str, x: Any, dim: int) -> None:
    if not x.shape[dim]:
        raise ValueError(f"{name}: axis {dim} must hold an element, the shape is {x.shape}.")


def _median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return _of_all(_median, input)
    x = _deep(input)
    _must_hold_some("median", x, dim)
    n = x.shape[dim]
    order = jnp.argsort(x, axis=dim, stable=True)
    place = jnp.where(jnp.isnan(x).any(dim), n - 1, (n - 1) // 2)
    at = jnp.squeeze(jnp.take_along_axis(order, jnp.expand_dims(place, dim), dim), dim)
    return pair("median", *_at(x, at, dim, keepdim and jnp.ndim(input) > 0))


def _nanmedian(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return _of_all(_nanmedian, input)
    _must_hold_some("nanmedian", input, dim)
    order = jnp.argsort(input, axis=dim, stable=True)
    place = jnp.maximum((~jnp.isnan(input)).sum(dim) - 1, 0) // 2
    at = jnp.squeeze(jnp.take_along_axis(order, jnp.expand_dims(place, dim), dim), dim)
    return pair("nanmedian", *_at(input, at, dim, keepdim))


def _mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    x = jnp.moveaxis(input, dim, -1)
    n = x.shape[-1]
    ordered = jnp.sort(x, -1)
    often = (ordered[..., :, None] == ordered[..., None, :]).sum(-1)
    most = jnp.take_along_axis(ordered, jnp.argmax(often, -1)[..., None], -1)
    at = n - 1 - jnp.argmax((x == most)[..., ::-1], -1)
    return pair("mode", *_at(input, at, dim, keepdim))


def _topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if not 0 <= k <= jnp.shape(input)[dim]:
        raise ValueError(f"topk: k must be at most {jnp.shape(input)[dim]}, got {k}.")
    if largest:
        return pair("topk", *jax.lax.top_k(input, k, axis=dim))
    at = jax.lax.slice_in_dim(jnp.argsort(input, axis=dim, stable=True), 0, k, axis=dim)
    return pair("topk", jnp.take_along_axis(input, at, dim), at)


def _kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    if not 1 <= k <= jnp.shape(input)[dim]:
        raise ValueError(f"kthvalue: k must lie in 1 to {jnp.shape(input)[dim]}, got {k}.")
    order = jnp.argsort(input, axis=dim, stable=True)
    return pair("kthvalue", *_at(input, jnp.take(order, k - 1, dim), dim, keepdim))


def _running(name: str, run: Any) -> Any:
    def fn(input: Any, dim: int) -> Any:
        along = axis(dim, jnp.ndim(input))
        values = run(input, axis=along)
        shape = [-1 if i == along else 1 for i in range(jnp.ndim(input))]
        places = jnp.arange(input.shape[along]).reshape(shape)
        at = jax.lax.cummax(jnp.where((input == values) | (input != input), places, 0), axis=along)
        return pair(name, jnp.take_along_axis(input, at, along), at)

    return fn


def _argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    return indices(jnp.argsort(input, axis=dim, descending=descending, stable=True))


TABLE: dict[str, Row] = with_numbers(rows({
    "max": Row(_extreme("max", jnp.max, jnp.argmax, jnp.maximum), numpy=jnp.max),
    "min": Row(_extreme("min", jnp.min, jnp.argmin, jnp.minimum), numpy=jnp.min),
    "median": Row(_median, numpy=jnp.median, differs="the lower of two in the middle; NumPy's mean of both: axis="),
    "nanmedian": Row(_nanmedian, numpy=jnp.nanmedian),
    "mode": _mode,
    "kthvalue": _kthvalue,
    "topk": Row(_topk, differs="sorted= has no effect: they always are"),
    "sort": Row(_sort, numpy=jnp.sort, differs="always stable"),
    "msort": lambda input: jnp.sort(input, 0) if jnp.ndim(input) else input,
    "argsort": Row(_argsort, numpy=jnp.argsort, differs="always stable"),
    "cummax": _running("cummax", jax.lax.cummax),
    "cummin": _running("cummin", jax.lax.cummin),
}))  # fmt: skip
