"""What an argument may be.

A check knows who speaks, the argument's name and what came, and refuses what cannot be meant: NaN, a wrong type, a
number out of its range. Traced and open numbers pass: their value is not known yet.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._errors import ArgumentError, HyperparameterError
from nablax.core._number import Number


@dataclasses.dataclass(frozen=True, eq=False)
class Check:
    """`check(who, name, value, optional)` raises where a value cannot be meant; None passes where `optional`.

    Attributes:
      run: the function.
      numeric: the argument is a number, so the runtime may change it.
      schedule: it may be a function of the count of updates.
      decay: it is the decay of a moving average, so 1 minus it matters as much as itself.
      integer: it is a whole number.
    """

    run: Callable[[str, str, Any, bool], None]
    numeric: bool = False
    schedule: bool = False
    decay: bool = False
    integer: bool = False

    def __call__(self, who: str, name: str, value: Any, optional: bool = False) -> None:
        self.run(who, name, value, optional)


def check_number(
    who: str,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
    optional: bool = False,
    schedule: bool = False,
    integer: bool = False,
    single: bool = False,
) -> None:
    """Refuses a hyperparameter that is not a real number within its bounds.

    Args:
      who: the function that speaks.
      name: its argument.
      value: what came: a number, or an array whose every entry must lie within the bounds. False and True are 0 and 1.
      low, high: bounds, included unless `open_low` or `open_high`; an open infinite one asks for a finite number.
      optional: None is allowed.
      schedule: a function of the step is allowed.
      integer: only whole numbers are allowed, also as a float: 1e6.
      single: no array of several numbers is allowed.

    Raises:
      ArgumentError: not a number, or not a whole one.
      HyperparameterError: NaN, or out of bounds.

    Example:
      >>> check_number("scale_by_adam", "b1", 1.5, 0, 1, open_high=True)
      Traceback (most recent call last):
      nablax.core._errors.HyperparameterError: scale_by_adam: b1 must lie in [0, 1), got 1.5.
    """
    if (optional and value is None) or isinstance(value, jax.core.Tracer | Number):
        return
    if schedule and callable(value):
        return
    entries = _entries(value)
    whole = entries is not None and len(entries) == 1 and float(entries[0]).is_integer()
    if entries is None or (integer and not whole) or (single and len(entries) != 1):
        kind = "an integer" if integer else "a real number"
        also = (" or None" if optional else "") + (" or a schedule" if schedule else "")
        raise ArgumentError(
            f"{who}: {name} must be {kind}{also}, got {type(value).__name__}: {value!r}."[:300]
        )
    for x in entries:
        below = x <= low if open_low else x < low
        above = x >= high if open_high else x > high
        if math.isnan(x) or below or above:
            unbounded = x in (low, high) and math.isinf(x)
            allowed = "be finite" if unbounded else _allowed(low, high, open_low, open_high)
            raise HyperparameterError(f"{who}: {name} must {allowed}, got {x!r}.")


def _entries(value: Any) -> list[Any] | None:
    """The numbers that a value holds; None where it holds anything else."""
    if isinstance(value, np.ndarray | jax.Array):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        if not (real or value.dtype == bool):
            return None
        return np.asarray(value).astype(float if real else int).ravel().tolist()
    value = value.item() if isinstance(value, np.generic) else value
    return [value] if isinstance(value, numbers.Real) else None


def _allowed(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if high == math.inf:
        if low == -math.inf:
            return "be a number"
        if low == 0:
            return "be positive" if open_low else "not be negative"
        return f"be {'greater than' if open_low else 'at least'} {low:g}"
    if low == -math.inf:
        return f"be {'less than' if open_high else 'at most'} {high:g}"
    return f"lie in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"


def check_decay(who: str, **decays: Any) -> None:
    """Refuses decay rates of moving averages outside [0, 1)."""
    for name, value in decays.items():
        check_number(who, name, value, 0, 1, open_high=True, schedule=True)


def check_nonnegative(who: str, **values: Any) -> None:
    """Refuses negative numbers."""
    for name, value in values.items():
        check_number(who, name, value, 0, schedule=True)


def check_positive(who: str, **values: Any) -> None:
    """Refuses numbers that are not positive."""
    for name, value in values.items():
        check_number(who, name, value, 0, open_low=True, schedule=True)


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

    plain = int if integer else float

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        if type(value) is plain and low < value < high:
            return  # nearly always
        check_number(
            who, name, value, low, high,
            open_low=open_low, open_high=open_high, optional=optional, schedule=schedule, integer=integer,
        )  # fmt: skip

    decay = (low, high, open_low, open_high) == (0, 1, False, True)
    return Check(check, numeric=True, schedule=schedule, decay=decay, integer=integer)


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


def is_transformation(value: Any) -> bool:
    """Whether a value has the two functions of the protocol."""
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def mask_of(leaf: Callable[[Any], bool] = is_flag) -> Check:
    """The check of a mask, whose leaves are bools."""
    one = of_kind("a function of the parameters or a tree of bools", leaf)

    def check(who: str, name: str, value: Any, optional: bool) -> None:
        for x in () if callable(value) else jax.tree.leaves(value):
            one(who, name, x, optional)

    return Check(check)


def is_array(value: Any) -> bool:
    """Whether a value is an array of numbers, or can be made one."""
    try:
        return jnp.issubdtype(dtype := jnp.asarray(value).dtype, jnp.number) or dtype == jnp.bool_
    except (TypeError, ValueError):
        return False


ARRAY = of_kind("an array of numbers", is_array)
FLAG = of_kind("a bool", lambda value: value is None or is_flag(value))
DTYPE = of_kind("a floating or complex dtype or None", _is_dtype)
MASK = mask_of()
KEY = of_kind("a random key or an int", _is_key)
FUNCTION = of_kind("a function", callable)
PATH = of_kind("a path", lambda value: isinstance(value, str | os.PathLike))
ITERABLE = of_kind("iterable", lambda value: isinstance(value, Iterable) and not isinstance(value, str))
TRANSFORMATION = of_kind("a gradient transformation, with functions init and update", is_transformation)


def as_flags(who: str, **values: Any) -> list[bool]:
    """Several flags as bools, in order."""
    for name, value in values.items():
        FLAG(who, name, value)
    return [bool(value) for value in values.values()]


REAL = number()
RATE = number(schedule=True)
DECAY = number(0, 1, open_high=True, schedule=True)
NONNEGATIVE = number(0, schedule=True)
COUNT = number(1, integer=True)
