"""Arguments: those that a function takes, read off its code; their values as keys, and in print."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from nablax.core._number import Number


class _Missing:
    __slots__ = ()

    def __reduce__(self) -> str:
        return "MISSING"  # there is one

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
"""Stands for a required argument that was not given."""
TOO_MANY = "_too_many"
"""The name of `*args` that a function only takes to refuse them."""


@functools.lru_cache(1024)
def parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """The names of the positional parameters, of the keyword-only ones, and of `*args`, None without."""
    code = function.__code__
    names, n, k = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    star = names[n + k] if code.co_flags & 0x04 and names[n + k] != TOO_MANY else None
    return names[:n], names[n : n + k], star


@functools.lru_cache(1024)
def default_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The default values by name."""
    positional, _, _ = parameters(function)
    values = function.__defaults__ or ()
    named = dict(zip(positional[len(positional) - len(values) :], values, strict=True))
    named |= function.__kwdefaults__ or {}
    return {name: value for name, value in named.items() if value is not MISSING}


def variadic(function: Callable[..., Any]) -> bool:
    """Whether a function takes `*args`."""
    return parameters(function)[2] is not None


def as_passed(function: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by name, as positional ones and keyword arguments."""
    positional, keyword, star = parameters(function)
    args = [arguments[name] for name in positional]
    if star is not None:
        args += arguments[star]
    return args, {name: arguments[name] for name in keyword}


def frozen(x: Any) -> Any:
    """A hashable stand-in for a value: equal where the values are, types included; arrays are told by what they hold.

    1, 1.0 and True differ, and so do 0.0 and -0.0.
    """
    if x is None or isinstance(x, str | bytes):
        return x
    if isinstance(x, bool | int | complex):
        return type(x), x
    if isinstance(x, float):
        return type(x), x.hex()
    if isinstance(x, Number):
        return Number, x.key
    if isinstance(x, jax.core.Tracer):
        return _Same(x)
    if isinstance(x, np.ndarray | np.generic | jax.Array):
        return _frozen_array(x)
    call = getattr(x, "call", None)
    if call is not None and isinstance(x, tuple):  # a transformation
        return call
    if isinstance(x, functools.partial):
        return functools.partial, frozen(x.func), frozen(x.args), frozen(x.keywords)
    if isinstance(x, Mapping):
        return type(x), tuple((frozen(k), frozen(v)) for k, v in x.items())
    if isinstance(x, list | tuple):
        return type(x), tuple(map(frozen, x))
    try:
        hash(x)
    except TypeError:
        return _Same(x)
    return x


def _frozen_array(x: Any) -> Any:
    if isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
        return "key", str(jax.random.key_impl(x)), _frozen_array(jax.random.key_data(x))
    host = np.asarray(x)
    return "array", host.dtype.str, host.dtype.name, host.shape, host.tobytes()


class _Same:
    """Equal to nothing but the very same object."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def same(a: Any, b: Any) -> bool:
    return a is b or frozen(a) == frozen(b)


def shown(x: Any) -> str:
    if isinstance(x, np.ndarray | jax.Array) and not isinstance(x, jax.core.Tracer) and x.ndim == 0:
        return repr(x)
    if isinstance(x, np.ndarray | jax.Array):
        return f"<{x.dtype.name}{list(x.shape)}>"
    if isinstance(x, type) or (callable(x) and getattr(x, "call", None) is None):
        return getattr(x, "__name__", None) or repr(x)
    if type(x) is dict:
        return "{" + ", ".join(f"{k!r}: {shown(v)}" for k, v in x.items()) + "}"
    if type(x) in (list, tuple):
        inner = ", ".join(map(shown, x))
        return f"[{inner}]" if type(x) is list else f"({inner}{',' * (len(x) == 1)})"
    return repr(x)
