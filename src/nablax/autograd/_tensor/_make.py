"""Tensors of values that come from outside."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._ground._aval import aval_of, dtype_of, inside
from .._ground._errors import LostTapeError, NoGradientError, ShapeError, user_line
from .._ground._lent import lend
from .._ground._narrow import narrowed
from .._ground._quiet import quietly
from .._path._recorded import Recorded, blank, new
from .._path._trace import local
from .._segment._flush import realize


def make(
    value: Any,
    dtype: Any = None,
    requires_grad: bool = False,
    name: str | None = None,
    kind: type | None = None,
) -> Any:
    """What `tensor` does; `kind` is the class, None for Tensor."""
    if dtype is not None:
        dtype_of("tensor", dtype)
    elif value.__class__ is np.ndarray and value.dtype.kind in "fiub":
        aval = aval_of(value)
        own = value.copy("K") if aval.dtype == value.dtype else narrowed("tensor", value, aval.dtype)
        return _tensor(own, aval, requires_grad, name, kind)
    kept = isinstance(value, Recorded) and dtype is None
    if isinstance(value, Recorded):
        value = realize(value)
    elif isinstance(value, list | tuple) and (
        tensors := [v for v in jax.tree.leaves(value) if isinstance(v, Recorded)]
    ):
        if local.trace.mode and any(v.requires_grad for v in tensors):
            raise LostTapeError(
                "tensor: elements that require grad would lose it silently. Use autograd.numpy.stack([...]), which "
                f"is recorded, or detach() them. At {user_line()}."
            )
        value = jax.tree.map(lambda v: np.asarray(realize(v)) if isinstance(v, Recorded) else v, value)
    if not isinstance(value, jax.Array):
        try:
            value = quietly(_copied, value, dtype, kept)
        except ValueError as error:
            raise ShapeError(
                f"tensor: value must be numbers in rows of one length: {error} At {user_line()}."
            ) from None
        if value.dtype.kind in "OSUMm":
            raise TypeError(f"tensor: value must consist of numbers, got {value.dtype} elements.")
    elif dtype is not None:
        value = value.astype(dtype)
    return _tensor(lend(value), inside(value), requires_grad, name, kind)


def _tensor(value: Any, aval: Any, requires_grad: bool, name: str | None, kind: type | None) -> Any:
    """A tensor of an array that is its own."""
    made: Any = blank() if kind is None else new(kind)
    made._s = None
    made._v = value
    made._a = aval
    made._n = None
    made._r = requires_grad
    if name is not None:
        made._name = name
    if requires_grad and not aval.inexact:
        raise NoGradientError(
            f"tensor: only floating and complex tensors can require grad, got {aval.dtype}."
        )
    return made


def _copied(value: Any, dtype: Any, kept: bool) -> np.ndarray:
    """A copy; it stays NumPy's until something computes with it. Where not `kept`, 64 bits become 32 without x64."""
    made = np.array(value, dtype=dtype)
    if kept or made.dtype.kind in "OSUMm":
        return made
    return narrowed("tensor", made, jax.dtypes.canonicalize_dtype(made.dtype))


def as_cotangent(value: Any) -> Any:
    """A cotangent as a tensor or array that changes no more."""
    if isinstance(value, Recorded):
        return value
    return lend(value) if isinstance(value, jax.Array) else np.array(value)
