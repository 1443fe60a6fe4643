"""Many elements to one, orders, and running totals. Results with indices are torch's named pairs."""

from __future__ import annotations

import functools
import inspect
from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp

from ..._operation._written import _reductions as rules
from ..._operation._written import by
from .. import _kinks
from .._namespaces import numpy
from ._rows import Row, axes, axis, indices, rows

_PAIRS: dict[str, Any] = {
    name: namedtuple(name, ("values", "indices"))
    for name in ("max", "min", "sort", "median", "nanmedian", "mode", "topk", "kthvalue", "cummax", "cummin")
}
aminmax = namedtuple("aminmax", ("min", "max"))


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


def _median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return _median(jnp.ravel(input), 0)[0]
    x = _deep(input)
    n = x.shape[dim]
    order = jnp.argsort(x, axis=dim, stable=True)
    place = jnp.where(jnp.isnan(x).any(dim), n - 1, (n - 1) // 2)
    at = jnp.squeeze(jnp.take_along_axis(order, jnp.expand_dims(place, dim), dim), dim)
    return pair("median", *_at(x, at, dim, keepdim and jnp.ndim(input) > 0))


def _nanmedian(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if dim is None:
        return _nanmedian(jnp.ravel(input), 0)[0]
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
        at = jax.lax.cummax(jnp.where(input == values, places, 0), axis=along)
        return pair(name, jnp.take_along_axis(input, at, along), at)

    return fn


def _spread(of: Any) -> Any:
    def fn(
        input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None or unbiased else 0
        return of(input, axis=axes(dim) if dim != () else None, ddof=correction, keepdims=keepdim)

    return fn


def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The p-norm over axes; `fro` is 2, and `nuc` the sum of singular values."""
    x = jnp.asarray(input, dtype)
    if p == "nuc":
        return jnp.linalg.norm(x, "nuc", axes(dim) or (-2, -1), keepdim)
    if p in ("fro", None):
        p = 2
    return _kinks.vector_norm(x, axis=axes(dim), keepdims=keepdim, ord=float(p))


def _quantile(of: Any) -> Any:
    def fn(
        input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear"
    ) -> Any:
        return of(input, jnp.asarray(q, input.dtype), axis=dim, keepdims=keepdim, method=interpolation)

    return fn


def _cumulative(of: Any) -> Any:
    def fn(input: Any, dim: Any, *, dtype: Any = None) -> Any:
        return of(input, axis=dim, dtype=dtype) if jnp.ndim(input) else jnp.asarray(input, dtype)

    return fn


def _argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    return indices(jnp.argsort(input, axis=dim, descending=descending, stable=True))


def _softmax(of: Any) -> Any:
    def fn(input: Any, dim: Any = None, *, dtype: Any = None) -> Any:
        if dim is None:
            dim = -1
        return of(jnp.asarray(input, dtype), axis=dim)

    return fn


softmax = by(rules.softmax, _softmax(jax.nn.softmax))
log_softmax = by(rules.log_softmax, _softmax(jax.nn.log_softmax))
_std, _var = _spread(_kinks.std), _spread(jnp.var)
_BIASED = "Bessel's correction unless unbiased=False, correction=0, or NumPy's ddof= says otherwise"

TABLE: dict[str, Row] = rows({
    "sum": by(rules.total, lambda input, dim=None, keepdim=False, *, dtype=None: jnp.sum(
        input, axes(dim), dtype, keepdims=keepdim)),
    "nansum": lambda input, dim=None, keepdim=False, *, dtype=None: jnp.nansum(
        input, axes(dim), dtype, keepdims=keepdim),
    "mean": Row(by(rules.mean, lambda input, dim=None, keepdim=False, *, dtype=None: jnp.mean(
        input, axes(dim), dtype, keepdims=keepdim)), differs="of integers, too"),
    "nanmean": lambda input, dim=None, keepdim=False, *, dtype=None: jnp.nanmean(
        input, axes(dim), dtype, keepdims=keepdim),
    "prod": lambda input, dim=None, keepdim=False, *, dtype=None: jnp.prod(input, axes(dim), dtype, keepdims=keepdim),
    "amax": by(rules.largest, lambda input, dim=None, keepdim=False: jnp.max(input, axes(dim), keepdims=keepdim)),
    "amin": by(rules.smallest, lambda input, dim=None, keepdim=False: jnp.min(input, axes(dim), keepdims=keepdim)),
    "aminmax": lambda input, *, dim=None, keepdim=False: aminmax(
        jnp.min(input, dim, keepdims=keepdim), jnp.max(input, dim, keepdims=keepdim)),
    "max": Row(_extreme("max", jnp.max, jnp.argmax, jnp.maximum), numpy=jnp.max),
    "min": Row(_extreme("min", jnp.min, jnp.argmin, jnp.minimum), numpy=jnp.min),
    "argmax": by(rules.where_largest, lambda input, dim=None, keepdim=False: indices(
        jnp.argmax(input, dim, keepdims=keepdim))),
    "argmin": lambda input, dim=None, keepdim=False: indices(jnp.argmin(input, dim, keepdims=keepdim)),
    "all": lambda input, dim=None, keepdim=False: jnp.all(input, axes(dim), keepdims=keepdim),
    "any": lambda input, dim=None, keepdim=False: jnp.any(input, axes(dim), keepdims=keepdim),
    "count_nonzero": lambda input, dim=None: indices(jnp.count_nonzero(input, axes(dim))),
    "std": Row(_std, numpy=_kinks.std, differs=_BIASED),
    "var": Row(_var, numpy=jnp.var, differs=_BIASED),
    "std_mean": lambda input, dim=None, unbiased=None, keepdim=False, *, correction=None: (
        _std(input, dim, unbiased, keepdim, correction=correction), jnp.mean(
            input, axes(None if isinstance(dim, bool) else dim), keepdims=keepdim)),
    "var_mean": lambda input, dim=None, unbiased=None, keepdim=False, *, correction=None: (
        _var(input, dim, unbiased, keepdim, correction=correction), jnp.mean(
            input, axes(None if isinstance(dim, bool) else dim), keepdims=keepdim)),
    "median": Row(_median, numpy=jnp.median, differs="the lower of two in the middle; NumPy's mean of both: axis="),
    "nanmedian": Row(_nanmedian, numpy=jnp.nanmedian),
    "mode": _mode,
    "quantile": Row(_quantile(jnp.quantile), numpy=jnp.quantile),
    "nanquantile": Row(_quantile(jnp.nanquantile), numpy=jnp.nanquantile),
    "kthvalue": _kthvalue,
    "topk": Row(_topk, differs="sorted= has no effect: they always are"),
    "sort": Row(_sort, numpy=jnp.sort, differs="always stable"),
    "msort": lambda input: jnp.sort(input, 0),
    "argsort": Row(_argsort, numpy=jnp.argsort, differs="always stable"),
    "cumsum": Row(_cumulative(jnp.cumsum), numpy=jnp.cumsum),
    "cumprod": Row(_cumulative(jnp.cumprod), numpy=jnp.cumprod),
    "cummax": _running("cummax", jax.lax.cummax),
    "cummin": _running("cummin", jax.lax.cummin),
    "logcumsumexp": lambda input, dim: jax.lax.cumlogsumexp(input, axis(dim, jnp.ndim(input))),
    "logsumexp": by(rules.logsumexp, lambda input, dim=None, keepdim=False: jax.scipy.special.logsumexp(
        input, axes(dim), keepdims=keepdim)),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "norm": Row(by(rules.norm, norm), numpy=_kinks.norm, differs="NumPy's norm of a matrix with ord="),
    "dist": lambda input, other, p=2: norm(input - other, p),
    "renorm": lambda input, p, dim, maxnorm: _renorm(input, p, dim, maxnorm),
    "diff": Row(lambda input, n=1, dim=-1, prepend=None, append=None: jnp.diff(
        input, n, dim, prepend=prepend, append=append)),
    "trapezoid trapz": lambda y, x=None, *, dx=1.0, dim=-1: jnp.trapezoid(y, x, dx, dim),
    "equal": Row(lambda input, other: input.shape == other.shape and bool(numpy.all(input == other)), direct=True),
    "allclose": Row(lambda input, other, rtol=1e-05, atol=1e-08, equal_nan=False: _allclose(
        input, other, rtol, atol, equal_nan), direct=True),
})  # fmt: skip


def _renorm(input: Any, p: Any, dim: int, maxnorm: float) -> Any:
    others = tuple(i for i in range(jnp.ndim(input)) if i != axis(dim, jnp.ndim(input)))
    size = norm(input, p, others, True)
    return jnp.where(size > maxnorm, input * (maxnorm / (size + 1e-7)), input)


def _allclose(input: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    return bool(numpy.allclose(input, other, rtol, atol, equal_nan))


def _of_numbers(fn: Any) -> Any:
    """A single number has one axis, where it is asked for one, and none in the result: as in torch."""

    @functools.wraps(fn)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        if jnp.ndim(input) or not (args or kwargs):
            return fn(input, *args, **kwargs)
        found = fn(jnp.reshape(input, 1), *args, **kwargs)
        return jax.tree.map(lambda x: jnp.reshape(x, ()) if jnp.size(x) == 1 else x, found)

    return call


def _with_numbers(table: dict[str, Row]) -> dict[str, Row]:
    """The table, its rows that take `dim` for single numbers, too; names of one row stay names of one row."""
    made = {
        id(row): row._replace(fn=_of_numbers(row.fn))
        for row in table.values()
        if not row.direct and "dim" in inspect.signature(row.fn).parameters
    }
    return {name: made.get(id(row), row) for name, row in table.items()}


TABLE = _with_numbers(TABLE)
