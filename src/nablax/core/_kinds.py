"""What an argument that is no number may be: a flag, a dtype, a mask, a key, a function, a path."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._checks import Check
from nablax.core._errors import ArgumentError

Function = TypeVar("Function", bound=Callable[..., Any])


def of_kind(what: str, fits: Callable[[Any], bool]) -> Check:
    """The check of anything but a number: what is allowed, in words, and whether a value is."""

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        if not (fits(value) or (optional and value is None)):
            also = " or None" if optional and "None" not in what else ""
            came = repr(value) if isinstance(value, str) else f"{type(value).__name__}: {value!r}"
            raise ArgumentError(f"{who}: {name} must be {what}{also}, got {came}."[:300])

    return Check(check)


def choice(*allowed: str) -> Check:
    """The check of a word that is one of several."""
    for word in allowed:
        if not isinstance(word, str):
            raise ArgumentError(
                f"choice: allowed must be strings, got {type(word).__name__}: {word!r}."[:300]
            )
    return of_kind(f"one of {', '.join(allowed)}", lambda value: isinstance(value, str) and value in allowed)


def is_flag(value: Any) -> bool:
    """Whether a value can be meant as a bool: one of Python, NumPy or JAX, of shape (), or 0 or 1."""
    if isinstance(value, np.ndarray | jax.Array):
        return value.shape == () and value.dtype == bool
    return isinstance(value, bool | np.bool_) or (isinstance(value, int | np.integer) and value in (0, 1))


def _is_dtype(value: Any) -> bool:
    try:
        return value is None or jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except (TypeError, ValueError):
        return False


def _is_key(value: Any) -> bool:
    if isinstance(value, np.ndarray | jax.Array):
        return jnp.issubdtype(value.dtype, jnp.integer) or jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    if isinstance(value, np.ndarray | jax.Array):
        return value.shape == () and bool(jnp.issubdtype(value.dtype, jnp.integer))
    return isinstance(value, int | np.integer)


def is_transformation(value: Any) -> bool:
    """Whether a value has the two functions of the protocol."""
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def _of_leaves(one: Check) -> Check:
    """The check of a tree, by that of a leaf."""

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        for x in jax.tree.leaves(value):
            one(who, name, x, optional)

    return Check(check)


def mask_of(leaf: Callable[[Any], bool] = is_flag) -> Check:
    """The check of a mask, whose leaves are bools."""
    tree = _of_leaves(of_kind("a function of the parameters or a tree of bools", leaf))

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        if not callable(value):
            tree(who, name, value, optional)

    return Check(check)


def is_array(value: Any) -> bool:
    """Whether a value is an array of numbers, or can be made one."""
    try:
        return jnp.issubdtype(dtype := jnp.asarray(value).dtype, jnp.number) or dtype == jnp.bool_
    except (TypeError, ValueError, OverflowError):
        return False


def _is_any_array(value: Any) -> bool:
    extended = isinstance(value, np.ndarray | jax.Array) and (
        value.dtype == jax.dtypes.float0 or jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    )
    return extended or is_array(value)


ANY_ARRAY = of_kind("an array of numbers or random keys", _is_any_array)
ANY_ARRAYS = _of_leaves(ANY_ARRAY)
ARRAY = of_kind("an array of numbers", is_array)
ARRAYS = _of_leaves(ARRAY)
ONE_ARRAY = of_kind(
    "an array of numbers", lambda value: not isinstance(value, list | tuple) and is_array(value)
)
FLAG = of_kind("a bool", lambda value: value is None or is_flag(value))
DTYPE = of_kind("a floating or complex dtype or None", _is_dtype)
MASK = mask_of()
KEY = of_kind("a random key or an int", _is_key)
FUNCTION = of_kind("a function", callable)
PATH = of_kind("a path", lambda value: isinstance(value, str | os.PathLike))
ITERABLE = of_kind("iterable", lambda value: isinstance(value, Iterable) and not isinstance(value, str))
TRANSFORMATION = of_kind("a gradient transformation, with functions init and update", is_transformation)


WORD = of_kind("a string", lambda value: isinstance(value, str))
INTEGER = of_kind("an integer", _is_integer)


def refusing(**kinds: Check) -> Callable[[Function], Function]:
    """A function that refuses arguments of another kind once it has failed.

    Nothing is looked at before, so that it costs nothing within rules and steps.

    Args:
      **kinds: checks by name of argument.
    """

    def decorate(function: Function) -> Function:
        def explain(args: Any, kwargs: Any) -> None:
            signature = inspect.signature(function)
            given = signature.bind(*args, **kwargs).arguments
            for name in [name for name in kinds if name in given]:
                several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for value in given[name] if several else [given[name]]:
                    kinds[name](function.__name__, name, value)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except (TypeError, ValueError, AttributeError, LookupError):
                explain(args, kwargs)
                raise

        return cast(Function, call)

    return decorate


def as_flags(who: str, **values: Any) -> list[bool]:
    """Several flags as bools, in order."""
    for name, value in values.items():
        FLAG(who, name, value)
    return [bool(value) for value in values.values()]
