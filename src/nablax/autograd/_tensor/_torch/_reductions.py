"""Many elements to one, and running totals."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._operation._written import _reductions as rules
from ..._operation._written import by
from .. import _norms
from .._namespaces import numpy
from ._rows import Row, axes, axis, indices, rows, with_numbers

aminmax = namedtuple("aminmax", ("min", "max"))


def _spread(of: Any) -> Any:
    def fn(
        input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None or unbiased else 0
        along = axes(dim) if dim != () else None
        count = jnp.size(input) if along is None else np.prod([jnp.shape(input)[i] for i in np.ravel(along)])
        if count > correction:
            return of(input, axis=along, ddof=correction, keepdims=keepdim)
        return of(input, axis=along, keepdims=keepdim) * jnp.inf  # divided by zero

    return fn


def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The p-norm over axes; `fro` is 2, and `nuc` the sum of singular values."""
    x = jnp.asarray(input, dtype)
    if p == "nuc":
        return jnp.linalg.norm(x, "nuc", axes(dim) or (-2, -1), keepdim)
    if p in ("fro", None):
        p = 2
    return _norms.vector_norm(x, axis=axes(dim), keepdims=keepdim, ord=float(p))


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


def _softmax(of: Any) -> Any:
    def fn(input: Any, dim: Any = None, *, dtype: Any = None) -> Any:
        if dim is None:
            dim = -1
        return of(jnp.asarray(input, dtype), axis=dim)

    return fn


softmax = by(rules.softmax, _softmax(jax.nn.softmax))
log_softmax = by(rules.log_softmax, _softmax(jax.nn.log_softmax))
_std, _var = _spread(_norms.std), _spread(jnp.var)
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
    "argmax": by(rules.where_largest, lambda input, dim=None, keepdim=False: indices(
        jnp.argmax(input, dim, keepdims=keepdim))),
    "argmin": lambda input, dim=None, keepdim=False: indices(jnp.argmin(input, dim, keepdims=keepdim)),
    "all": lambda input, dim=None, keepdim=False: jnp.all(input, axes(dim), keepdims=keepdim),
    "any": lambda input, dim=None, keepdim=False: jnp.any(input, axes(dim), keepdims=keepdim),
    "count_nonzero": lambda input, dim=None: indices(jnp.count_nonzero(input, axes(dim))),
    "std": Row(_std, numpy=_norms.std, differs=_BIASED),
    "var": Row(_var, numpy=jnp.var, differs=_BIASED),
    "std_mean": lambda input, dim=None, unbiased=None, keepdim=False, *, correction=None: (
        _std(input, dim, unbiased, keepdim, correction=correction), jnp.mean(
            input, axes(None if isinstance(dim, bool) else dim), keepdims=keepdim)),
    "var_mean": lambda input, dim=None, unbiased=None, keepdim=False, *, correction=None: (
        _var(input, dim, unbiased, keepdim, correction=correction), jnp.mean(
            input, axes(None if isinstance(dim, bool) else dim), keepdims=keepdim)),
    "quantile": Row(_quantile(jnp.quantile), numpy=jnp.quantile),
    "nanquantile": Row(_quantile(jnp.nanquantile), numpy=jnp.nanquantile),
    "cumsum": Row(_cumulative(jnp.cumsum), numpy=jnp.cumsum),
    "cumprod": Row(_cumulative(jnp.cumprod), numpy=jnp.cumprod),
    "logcumsumexp": lambda input, dim: jax.lax.cumlogsumexp(input, axis(dim, jnp.ndim(input))),
    "logsumexp": by(rules.logsumexp, lambda input, dim=None, keepdim=False: jax.scipy.special.logsumexp(
        input, axes(dim), keepdims=keepdim)),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "norm": Row(by(rules.norm, norm), numpy=_norms.norm, differs="NumPy's norm of a matrix with ord="),
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


TABLE = with_numbers(TABLE)
