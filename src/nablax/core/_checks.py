"""What a number among the arguments may be, and what a check is.

A check knows who speaks, the argument's name and what came, and refuses what cannot be meant: NaN, a wrong type, a
number out of its range. Traced and open numbers pass: their value is not known yet.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable
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


REAL = number()
RATE = number(schedule=True)
DECAY = number(0, 1, open_high=True, schedule=True)
NONNEGATIVE = number(0, schedule=True)
COUNT = number(1, integer=True)
