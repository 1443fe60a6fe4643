"""Abstract values: shape, dtype and weakness of an array, interned so that they compare by identity."""

from __future__ import annotations

import functools
import math
import threading
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np

from ._errors import ShapeError, user_line

config: Any = jax.config
# Its `value` says whether x64 is on, for less than half of what `config` takes to say it.
X64: Any = jax.enable_x64
PLAIN: set[type] = {np.ndarray}  # classes of values that are computed; JAX's joins when the first is met
_TABLE: WeakValueDictionary[tuple, Aval] = WeakValueDictionary()  # all that are in use
_LOCK = threading.Lock()
WIDE = {np.dtype(t) for t in ("float64", "int64", "uint64", "complex128")}
_SCALARS = {
    bool: np.dtype(bool),
    int: np.dtype(np.int64),
    float: np.dtype(np.float64),
    complex: np.dtype(complex),
}


def dtype_of(who: str, dtype: Any) -> Any:
    """A dtype by its name, a class or an object, as JAX has it: 64 bits become 32 without x64.

    Raises:
      ShapeError: nothing is called so.
    """
    try:
        return jax.dtypes.canonicalize_dtype(dtype)
    except TypeError:
        raise ShapeError(
            f"{who}: dtype must be one, such as 'float32', got {dtype!r}. At {user_line()}."
        ) from None


class Aval:
    """Shape, dtype and weak type of an array. One object for each distinct triple.

    `inexact` tells whether an array of this kind can carry a gradient; `struct` is what JAX's abstract evaluation
    takes.
    """

    __slots__ = ("__weakref__", "_struct", "dtype", "inexact", "shape", "size", "weak")

    def __init__(self, shape: tuple[int, ...], dtype: Any, weak: bool) -> None:
        if getattr(dtype, "kind", "f") in "OSUMm":  # random keys have none
            raise ShapeError(f"an array of numbers is needed, got one of dtype {dtype}. At {user_line()}.")
        self.shape = shape
        self.dtype = dtype
        self.weak = weak
        self.size = math.prod(shape)
        self.inexact = getattr(dtype, "kind", "?") in "fc" or bool(jnp.issubdtype(dtype, jnp.inexact))
        self._struct: Any = None

    @property
    def struct(self) -> jax.ShapeDtypeStruct:
        found: Any = self._struct  # most are never asked for it
        if found is None:
            found = self._struct = jax.ShapeDtypeStruct(self.shape, self.dtype, weak_type=self.weak)
        return found

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]{'~' if self.weak else ''}"


@functools.lru_cache(4096)
def intern(shape: tuple[int, ...], dtype: Any, weak: bool) -> Aval:
    """The one Aval of this shape, dtype and weakness; those met lately are found sooner."""
    with _LOCK:
        return _TABLE.setdefault((shape, dtype, weak), Aval(shape, dtype, weak))


def interned(aval: Any) -> Aval:
    """The one Aval of an abstract value of JAX's."""
    return intern(aval.shape, aval.dtype, bool(getattr(aval, "weak_type", False)))


@functools.lru_cache(4096)
def _seen(shape: tuple[int, ...], dtype: Any, weak: bool, x64: bool) -> Aval:
    """The Aval of a value as JAX has it, under x64 or not."""
    with jax.enable_x64(x64):
        return intern(shape, jax.dtypes.canonicalize_dtype(dtype), weak)


def inside(value: Any) -> Aval:
    """The Aval of the value of a tensor: 64 bits are what they are, whether x64 is on or not."""
    if isinstance(value, np.ndarray | np.generic):
        return intern(value.shape, value.dtype, False)
    return aval_of(value)


def aval_of(value: Any, x64: bool = False) -> Aval:
    """The Aval under which JAX would see an array, a tracer, a NumPy array or a Python scalar.

    x64: whether it stands beside 64 bits, so that what is no array of JAX's keeps as many.
    """
    kind = value.__class__
    x64 = x64 or X64.value
    if kind is np.ndarray:
        return _seen(value.shape, value.dtype, False, x64)
    if kind in _SCALARS:
        return _seen((), _SCALARS[kind], kind is not bool, x64)
    if isinstance(value, jax.Array):
        aval = value.aval
        if not isinstance(value, jax.core.Tracer):
            PLAIN.add(value.__class__)
        return interned(aval)
    if isinstance(value, np.ndarray | np.generic):
        return _seen(value.shape, value.dtype, False, x64)
    raise ShapeError(
        f"a tensor, an array or a number is needed, got {type(value).__name__}: {value!r}"[:200]
        + f". At {user_line()}."
    )
