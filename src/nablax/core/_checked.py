"""`@checked`: the arguments of a function are checked before it runs, in its own name.

    @checked(momentum=number(0, 1), nesterov=FLAG)
    def sgd(learning_rate, momentum=None, nesterov=False): ...

An optimizer hands most of its arguments on to parts, which would speak of themselves and of what they call the
argument; the decorator speaks first. A check is a function of who speaks, the argument's name, what came, and whether
None is allowed too: where it is the default or in the type hint. Only what the caller gives is checked, so that
constructing stays cheap.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._checks import check_number
from nablax.core._errors import ArgumentError

Check = Callable[[str, str, Any, bool], None]
Function = TypeVar("Function", bound=Callable[..., Any])


def checked(common: Mapping[str, Check] | None = None, /, **own: Check) -> Callable[[Function], Function]:
    """Checks the arguments of the decorated function when it is called.

    Args:
      common: checks by name of argument; those that the function does not have are left out.
      **own: checks of this function's arguments, in place of the common ones.

    Raises:
      ArgumentError: the function has no such argument; or, from the decorated function, one of the wrong kind.
      HyperparameterError: from the decorated function, a number out of its range.

    Example:
      >>> @checked(steps=number(1, integer=True))
      ... def train(steps):
      ...     return steps
      >>> train(2.5)
      Traceback (most recent call last):
      nablax.core._errors.ArgumentError: train: steps must be an integer, got float: 2.5.
    """

    def decorate(function: Function) -> Function:
        parameters = inspect.signature(function).parameters
        unknown = [name for name in own if name not in parameters]
        if unknown:
            raise ArgumentError(f"checked: {function.__name__} has no argument {', '.join(unknown)}.")
        checks = {k: c for k, c in {**(common or {}), **own}.items() if k in parameters}
        optional = {k for k, p in parameters.items() if p.default is None or "None" in str(p.annotation)}
        names = list(parameters)
        who = function.__qualname__.removesuffix(".__new__").split(".")[-1]  # a class speaks by its name

        @functools.wraps(function)
        def speaking(*args: Any, **kwargs: Any) -> Any:
            # Too many positional arguments are the function's own to refuse.
            for name, value in (*zip(names, args, strict=False), *kwargs.items()):
                if name in checks and not (value is None and name in optional):
                    checks[name](who, name, value, name in optional)
            return function(*args, **kwargs)

        return cast(Function, speaking)

    return decorate


def number(
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
    schedule: bool = False,
    integer: bool = False,
    infinite: bool = False,
) -> Check:
    """The check of a real number within bounds: finite, unless `infinite`. The rest is as in `check_number`."""
    open_low = open_low or (low == -math.inf and not infinite)
    open_high = open_high or (high == math.inf and not infinite)

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        check_number(
            who, name, value, low, high,
            open_low=open_low, open_high=open_high, optional=optional, schedule=schedule, integer=integer,
        )  # fmt: skip

    return check


def of_kind(what: str, fits: Callable[[Any], bool]) -> Check:
    """The check of anything but a number: what is allowed, in words, and whether a value is."""

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        if not fits(value):
            also = " or None" if optional else ""
            came = repr(value) if isinstance(value, str) else f"{type(value).__name__}: {value!r}"
            raise ArgumentError(f"{who}: {name} must be {what}{also}, got {came}."[:300])

    return check


def choice(*allowed: str) -> Check:
    """The check of a word that is one of several."""
    return of_kind(f"one of {', '.join(allowed)}", lambda value: isinstance(value, str) and value in allowed)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_dtype(value: Any) -> bool:
    try:
        return value is None or jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except TypeError:
        return False


def _is_key(value: Any) -> bool:
    if isinstance(value, np.ndarray | jax.Array):
        return jnp.issubdtype(value.dtype, jnp.integer) or jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_transformation(value: Any) -> bool:
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def mask_of(leaf: Callable[[Any], bool] = _is_bool) -> Check:
    """The check of a mask, whose leaves are bools."""
    one = of_kind("a function of the parameters or a tree of Python bools", leaf)

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        for x in () if callable(value) else jax.tree.leaves(value):
            one(who, name, x, optional)

    return check


FLAG = of_kind("a bool", _is_bool)
DTYPE = of_kind("a floating or complex dtype or None", _is_dtype)
MASK = mask_of()
KEY = of_kind("a random key or an int", _is_key)
FUNCTION = of_kind("a function", callable)
TRANSFORMATION = of_kind("a gradient transformation, with functions init and update", _is_transformation)

REAL = number()
DECAY = number(0, 1, open_high=True, schedule=True)
NONNEGATIVE = number(0, schedule=True)
COUNT = number(1, integer=True)
