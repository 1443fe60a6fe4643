"""Checks of hyperparameters at construction: concrete numbers only, NaN refused, traced values let through."""

from __future__ import annotations

import math
import numbers
from typing import Any

import jax
import numpy as np

from nablax.core._errors import ArgumentError, HyperparameterError


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
) -> None:
    """Refuses a hyperparameter that is not a real number within its bounds.

    Args:
      who: the function that speaks.
      name: its argument.
      value: what came. Tracers pass: their value is not known yet.
      low, high: bounds, included unless `open_low` or `open_high`; an open infinite one asks for a finite number.
      optional: None is allowed.
      schedule: a function of the step is allowed.
      integer: only whole numbers are allowed; an array may hold one as a float, as `inject_hyperparams` does.

    Raises:
      ArgumentError: not a number, or not a whole one.
      HyperparameterError: NaN, or out of bounds.

    Example:
      >>> check_number("scale_by_adam", "b1", 1.5, 0, 1, open_high=True)
      Traceback (most recent call last):
      nablax.core._errors.HyperparameterError: scale_by_adam: b1 must lie in [0, 1), got 1.5.
    """
    if (optional and value is None) or isinstance(value, jax.core.Tracer) or (schedule and callable(value)):
        return
    number: Any
    if isinstance(value, np.ndarray | jax.Array) and value.shape == () and value.dtype != bool:
        number = value.item()
        whole = number % 1 == 0 if isinstance(number, float) else isinstance(number, int)
    else:
        number = value.item() if isinstance(value, np.generic) else value
        whole = isinstance(number, numbers.Integral)
    if isinstance(number, bool) or not isinstance(number, numbers.Real) or (integer and not whole):
        kind = "an integer" if integer else "a real number"
        also = (" or None" if optional else "") + (" or a schedule" if schedule else "")
        raise ArgumentError(
            f"{who}: {name} must be {kind}{also}, got {type(value).__name__}: {value!r}."[:300]
        )
    real: Any = number
    below = real <= low if open_low else real < low
    above = real >= high if open_high else real > high
    if math.isnan(real) or below or above:
        unbounded = real in (low, high) and math.isinf(real)
        allowed = "be finite" if unbounded else _allowed(low, high, open_low, open_high)
        raise HyperparameterError(f"{who}: {name} must {allowed}, got {number!r}.")


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
