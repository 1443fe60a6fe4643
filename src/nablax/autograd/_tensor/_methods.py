"""Methods people expect of an array, recorded: those of the table of torch's names, and a few of NumPy's."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from inspect import isfunction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._answers import answering
from .._ground._errors import ShapeError
from .._operation._call import ALIKE
from .._operation._written import by
from .._operation._written._elementwise import same
from .._path._recorded import as_tensor, is_recorded, value_of
from .._path._trace import local
from ._lift import Lifted
from ._recording import unary
from ._torch._methods import METHODS as OTHERS
from ._torch._methods import wide_or_warn
from ._torch._rows import Row, recorded
from ._torch._table import METHODS as TABLE
from ._torch._table import UNARY
from ._views import view

GENERAL: dict[str, Callable[..., Any]] = {  # what NumPy knows and torch does not
    "ptp": jnp.ptp, "argpartition": jnp.argpartition, "take_along_axis": jnp.take_along_axis,
    "searchsorted": jnp.searchsorted,
}  # fmt: skip
QUICK = {  # called without arguments: the fast path
    "sum": jnp.sum, "mean": jnp.mean, "prod": jnp.prod, "max": jnp.max, "min": jnp.min, "amax": jnp.max,
    "amin": jnp.min, "all": jnp.all, "any": jnp.any, "argmax": None, "argmin": None, "std": None, "var": None,
    "norm": None, "trace": None, "det": None, "inverse": None, "tril": None, "triu": None, "round": None,
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


def _of_row(name: str, row: Row) -> Callable[..., Any]:
    """The method of a row, with the fast path for the call without arguments."""
    general = recorded(name, row)
    if name not in QUICK:
        return general
    plain = unary(name, QUICK[name] or row.fn)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return general(self, *args, **kwargs) if args or kwargs else plain(self)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = general.__doc__
    return method


def _cast(dtype: Any) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        wide_or_warn(np.dtype(dtype).name, dtype)
        return _astype(self, jax.dtypes.canonicalize_dtype(dtype))

    method.__doc__ = f"The elements as {np.dtype(dtype)}" + (
        " (needs x64)." if np.dtype(dtype).itemsize == 8 else "."
    )
    return method


def _seen(plain: Callable[[Any], Any], step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A unary method whose result is a view."""

    def method(self: Any) -> Any:
        return view(self, plain(self), step)

    return method


class Methods:
    """Elementwise functions, reductions and changes of shape."""

    __slots__ = ()

    for _each, _fn in GENERAL.items():
        locals()[_each] = answering(_method(_each, _fn), _each, _fn)
    for _each, _row in TABLE.items():
        locals()[_each] = unary(_each, _row.fn, ALIKE) if _each in UNARY else _of_row(_each, _row)
    locals().update({n: answering(f, n) if isfunction(f) else f for n, f in OTHERS.items()})
    del _each, _fn, _row

    T = property(_seen(unary("T", jnp.transpose), lambda x: x.T), doc="The tensor with its axes in reverse.")
    mT = property(
        _seen(unary("mT", jnp.matrix_transpose), lambda x: x.swapaxes(-1, -2)),
        doc="The tensor with its last two axes swapped.",
    )
    real = property(unary("real", jnp.real), doc="The real part.")
    imag = property(unary("imag", jnp.imag), doc="The imaginary part.")

    def astype(self, dtype: Any) -> Any:
        """The elements as another type."""
        return _astype(self, dtype)

    def type_as(self, other: Any) -> Any:
        """The elements as the type of another tensor's."""
        if not hasattr(other, "dtype"):
            raise ShapeError(f"type_as: other must be a tensor, got {type(other).__name__}: {other!r}."[:200])
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
        tensor: Any = self
        if is_recorded(tensor) or (tensor.requires_grad and local.trace.mode):
            return _clone(tensor)
        # A value never changes underneath: both may have it, and nothing is recorded.
        made = as_tensor(value_of(tensor))
        made._a = tensor._a
        return made

    copy = contiguous = clone

    def __copy__(self) -> Any:
        return self.clone()

    def __round__(self, digits: Any = None) -> Any:
        return self.round(digits or 0)  # type: ignore[attr-defined]

    def dim(self) -> builtins.int:
        """The number of axes."""
        return self.ndim  # type: ignore[attr-defined]

    def numel(self) -> builtins.int:
        """The number of elements."""
        return builtins.int(self.size)  # type: ignore[attr-defined]


_astype = _method("astype", jnp.astype)
_clone = unary("clone", by(same, lambda x: x))
