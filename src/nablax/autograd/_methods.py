"""Methods people expect of an array, recorded. One table: a name, the JAX function, where the first argument is
self."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._lift import Lifted
from ._operators import unary


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """Euclidean norm over all axes (or the given ones), with gradient 0 at 0."""
    if ord is not None or isinstance(axis, tuple):
        return jnp.linalg.norm(x, ord, axis, keepdims)
    squares = jnp.sum(
        jnp.square(x) if jnp.isrealobj(x) else jnp.real(x * jnp.conj(x)), axis=axis, keepdims=keepdims
    )
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)


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


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "abs": jnp.abs, "exp": jnp.exp, "exp2": jnp.exp2, "expm1": jnp.expm1, "log": jnp.log, "log1p": jnp.log1p,
    "log2": jnp.log2, "log10": jnp.log10, "sqrt": jnp.sqrt, "rsqrt": jax.lax.rsqrt, "square": jnp.square,
    "reciprocal": jnp.reciprocal, "sin": jnp.sin, "cos": jnp.cos, "tan": jnp.tan, "asin": jnp.asin, "acos": jnp.acos,
    "atan": jnp.atan, "sinh": jnp.sinh, "cosh": jnp.cosh, "tanh": jnp.tanh, "asinh": jnp.asinh, "acosh": jnp.acosh,
    "atanh": jnp.atanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "softplus": jax.nn.softplus, "sign": jnp.sign,
    "floor": jnp.floor, "ceil": jnp.ceil, "trunc": jnp.trunc, "isnan": jnp.isnan, "isfinite": jnp.isfinite,
    "isinf": jnp.isinf, "logical_not": jnp.logical_not, "conj": jnp.conj, "erf": jax.scipy.special.erf,
}  # fmt: skip

GENERAL: dict[str, Callable[..., Any]] = {
    "mean": jnp.mean, "prod": jnp.prod, "max": jnp.max, "min": jnp.min, "std": jnp.std, "var": jnp.var,
    "all": jnp.all, "any": jnp.any, "argmax": jnp.argmax, "argmin": jnp.argmin, "cumsum": jnp.cumsum,
    "cumprod": jnp.cumprod, "norm": _norm, "reshape": _reshape, "view": _reshape, "transpose": _permute,
    "permute": _permute, "swapaxes": jnp.swapaxes, "squeeze": jnp.squeeze, "unsqueeze": _unsqueeze,
    "flatten": jnp.ravel,
    "ravel": jnp.ravel, "expand": _expand, "repeat": jnp.repeat, "tile": jnp.tile, "dot": jnp.dot, "matmul": jnp.matmul,
    "mm": jnp.matmul, "round": jnp.round, "clip": jnp.clip, "clamp": jnp.clip, "sort": jnp.sort,
    "argsort": jnp.argsort, "take": jnp.take, "diagonal": jnp.diagonal, "trace": jnp.trace,
    "softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax, "logsumexp": jax.scipy.special.logsumexp,
    "maximum": jnp.maximum, "minimum": jnp.minimum, "pow": jnp.power, "ptp": jnp.ptp, "searchsorted": jnp.searchsorted,
}  # fmt: skip


def _method(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    lifted: list[Lifted] = []

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not lifted:
            from ._tensor import Tensor

            lifted.append(Lifted(fn, name, ("method", name), Tensor))
        return lifted[0](self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        fn.__doc__ if fn.__name__.startswith("_") else f"jax.numpy.{name} of this tensor, recorded."
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

    def float(self) -> Any:
        """The elements as float32."""
        return _astype(self, jnp.float32)

    def double(self) -> Any:
        """The elements as float64 (needs x64)."""
        return _astype(self, jnp.float64)

    def t(self) -> Any:
        """The transpose."""
        return self.T

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim  # type: ignore[attr-defined]

    def numel(self) -> int:
        """The number of elements."""
        return self.size  # type: ignore[attr-defined]


_astype = _method("astype", jnp.astype)
