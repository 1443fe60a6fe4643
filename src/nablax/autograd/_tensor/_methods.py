"""Methods people expect of an array, recorded. One table: a name, the JAX function, where the first argument is
self."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _kinks, _namespaces
from ._lift import Lifted
from ._operators import unary


def _unsqueeze(x: Any, axis: int) -> jax.Array:
    return jnp.expand_dims(x, axis)


def _permute(x: Any, *axes: Any) -> jax.Array:
    return jnp.transpose(x, axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes or None)


def _reshape(x: Any, *shape: Any) -> jax.Array:
    return jnp.reshape(x, shape[0] if len(shape) == 1 else shape)


def _expand(x: Any, *shape: Any) -> jax.Array:
    wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    shift = len(wanted) - jnp.ndim(x)
    known = (*[1] * shift, *jnp.shape(x))
    return jnp.broadcast_to(x, [k if w == -1 else w for w, k in zip(wanted, known, strict=True)])


def _where(x: Any, condition: Any, other: Any) -> jax.Array:
    return jnp.where(condition, x, other)


def _masked_fill(x: Any, mask: Any, value: Any) -> jax.Array:
    return jnp.where(mask, jnp.asarray(value, jnp.result_type(x)), x)


def _gather(x: Any, axis: int, index: Any) -> jax.Array:
    within = tuple(slice(n) for n in jnp.shape(index))
    within = (
        (*within[:axis], slice(None), *within[axis + 1 :]) if axis >= 0 else (*within[:axis], slice(None))
    )
    return jnp.take_along_axis(x[within], index, axis)


def _index_select(x: Any, axis: int, index: Any) -> jax.Array:
    return jnp.take(x, index, axis)


def _split(x: Any, size: Any, axis: int = 0) -> tuple[jax.Array, ...]:
    """Pieces of a given length (the last may be shorter), or of a list of lengths."""
    length = jnp.shape(x)[axis]
    ends = np.cumsum(size)[:-1] if isinstance(size, list | tuple) else range(size, length, size)
    return tuple(jnp.split(x, list(ends), axis))


def _chunk(x: Any, chunks: int, axis: int = 0) -> tuple[jax.Array, ...]:
    """About so many pieces of equal length; the last may be shorter."""
    return _split(x, -(-jnp.shape(x)[axis] // chunks), axis)


def _unbind(x: Any, axis: int = 0) -> tuple[jax.Array, ...]:
    return tuple(jnp.moveaxis(x, axis, 0))


def _topk(x: Any, k: int, axis: int = -1) -> tuple[jax.Array, jax.Array]:
    """The `k` largest, in descending order, and their indices."""
    values, indices = jax.lax.top_k(x, k, axis=axis)
    return values, indices


def _like(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, other: fn(x, jnp.shape(other))


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": _kinks.abs, "exp": jnp.exp, "exp2": jnp.exp2, "expm1": jnp.expm1, "log": jnp.log, "log1p": jnp.log1p,
    "log2": jnp.log2, "log10": jnp.log10, "sqrt": jnp.sqrt, "rsqrt": jax.lax.rsqrt, "square": jnp.square,
    "reciprocal": jnp.reciprocal, "sin": jnp.sin, "cos": jnp.cos, "tan": jnp.tan, "asin": jnp.asin, "acos": jnp.acos,
    "atan": jnp.atan, "sinh": jnp.sinh, "cosh": jnp.cosh, "tanh": jnp.tanh, "asinh": jnp.asinh, "acosh": jnp.acosh,
    "atanh": jnp.atanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "softplus": jax.nn.softplus, "sign": jnp.sign,
    "floor": jnp.floor, "ceil": jnp.ceil, "trunc": jnp.trunc, "isnan": jnp.isnan, "isfinite": jnp.isfinite,
    "isinf": jnp.isinf, "logical_not": jnp.logical_not, "conj": jnp.conj, "conjugate": jnp.conj,
    "neg": jnp.negative, "absolute": _kinks.abs, "nan_to_num": jnp.nan_to_num, "erf": jax.scipy.special.erf,
}  # fmt: skip

GENERAL: dict[str, Callable[..., Any]] = {
    "mean": jnp.mean, "prod": jnp.prod, "max": jnp.max, "min": jnp.min, "std": _kinks.std, "var": jnp.var,
    "all": jnp.all, "any": jnp.any, "argmax": jnp.argmax, "argmin": jnp.argmin, "cumsum": jnp.cumsum,
    "cumprod": jnp.cumprod, "norm": _kinks.norm, "reshape": _reshape, "view": _reshape, "transpose": _permute,
    "permute": _permute, "swapaxes": jnp.swapaxes, "squeeze": jnp.squeeze, "unsqueeze": _unsqueeze,
    "flatten": jnp.ravel,
    "ravel": jnp.ravel, "expand": _expand, "repeat": jnp.repeat, "tile": jnp.tile, "dot": jnp.dot, "matmul": jnp.matmul,
    "mm": jnp.matmul, "round": jnp.round, "clip": _kinks.clip, "clamp": _kinks.clip, "sort": jnp.sort,
    "argsort": jnp.argsort, "take": jnp.take, "diagonal": jnp.diagonal, "trace": jnp.trace,
    "softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax, "logsumexp": jax.scipy.special.logsumexp,
    "maximum": jnp.maximum, "minimum": jnp.minimum, "pow": _kinks.power, "ptp": jnp.ptp,
    "searchsorted": jnp.searchsorted,
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": jnp.divide, "true_divide": jnp.divide,
    "eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater,
    "ge": jnp.greater_equal, "logical_and": jnp.logical_and, "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor, "atan2": _kinks.arctan2, "hypot": _kinks.hypot, "isclose": jnp.isclose,
    "allclose": jnp.allclose, "flip": jnp.flip, "roll": jnp.roll, "tril": jnp.tril, "triu": jnp.triu, "diag": jnp.diag,
    "diff": jnp.diff, "outer": jnp.outer, "inner": jnp.inner, "cross": jnp.cross, "kron": jnp.kron, "mv": jnp.matmul,
    "bmm": jnp.matmul, "moveaxis": jnp.moveaxis, "movedim": jnp.moveaxis, "count_nonzero": jnp.count_nonzero,
    "nansum": jnp.nansum, "nanmean": jnp.nanmean, "quantile": jnp.quantile, "median": jnp.median,
    "argpartition": jnp.argpartition, "take_along_axis": jnp.take_along_axis, "gather": _gather,
    "index_select": _index_select, "where": _where, "masked_fill": _masked_fill, "split": _split, "chunk": _chunk,
    "unbind": _unbind, "topk": _topk, "view_as": _like(jnp.reshape), "reshape_as": _like(jnp.reshape),
    "expand_as": _like(jnp.broadcast_to),
}  # fmt: skip


_AS_IN_TORCH = {"dim": "axis", "keepdim": "keepdims"}  # either name will do


def _method(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    lifted = Lifted(fn, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = {_AS_IN_TORCH.get(k, k): v for k, v in kwargs.items()}
        return lifted(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        fn.__doc__ or f"{name}, recorded."
        if fn.__name__.startswith(("_", "<"))
        else f"jax.numpy.{name} of this tensor, recorded."
    )
    return method


def _reduction(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose call without arguments takes the fast path."""
    plain = unary(name, fn)
    general = _method(name, fn)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return general(self, *args, **kwargs) if args or kwargs else plain(self)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = general.__doc__
    return method


def _cast(dtype: Any) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        return _astype(self, jax.dtypes.canonicalize_dtype(dtype))

    method.__doc__ = f"The elements as {np.dtype(dtype)}" + (
        " (needs x64)." if np.dtype(dtype).itemsize == 8 else "."
    )
    return method


class Methods:
    """Elementwise functions, reductions and changes of shape."""

    __slots__ = ()

    sum = _reduction("sum", jnp.sum)
    for _each, _fn in ELEMENTWISE.items():
        locals()[_each] = unary(_each, _fn)
    for _each, _fn in GENERAL.items():
        locals()[_each] = _reduction(_each, _fn)
    del _each, _fn
    T = property(unary("T", jnp.transpose), doc="The tensor with its axes in reverse.")
    mT = property(unary("mT", jnp.matrix_transpose), doc="The tensor with its last two axes swapped.")
    real = property(unary("real", jnp.real), doc="The real part.")
    imag = property(unary("imag", jnp.imag), doc="The imaginary part.")

    def astype(self, dtype: Any) -> Any:
        """The elements as another type."""
        return _astype(self, dtype)

    def type_as(self, other: Any) -> Any:
        """The elements as the type of another tensor's."""
        return _astype(self, other.dtype)

    float = _cast(jnp.float32)
    double = _cast(jnp.float64)
    half = _cast(jnp.float16)
    bfloat16 = _cast(jnp.bfloat16)
    int = _cast(jnp.int32)
    long = _cast(jnp.int64)
    bool = _cast(jnp.bool_)

    def clone(self) -> Any:
        """A tensor of its own with the same value, through which gradients flow."""
        return _clone(self)

    copy = contiguous = clone

    def __copy__(self) -> Any:
        return _clone(self)

    def __round__(self, digits: Any = None) -> Any:
        return self.round(digits or 0)  # type: ignore[attr-defined]

    def nonzero(self) -> Any:
        """The indices of what is not zero, one tensor an axis; runs at once."""
        return _namespaces.numpy.nonzero(self)

    def t(self) -> Any:
        """The transpose."""
        return self.T

    def dim(self) -> builtins.int:
        """The number of axes."""
        return self.ndim  # type: ignore[attr-defined]

    def numel(self) -> builtins.int:
        """The number of elements."""
        return self.size  # type: ignore[attr-defined]


_astype = _method("astype", jnp.astype)
_clone = unary("clone", lambda x: x)
