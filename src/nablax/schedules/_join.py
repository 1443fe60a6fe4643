"""Schedules one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import ArgumentError, HyperparameterError, Schedule, check_number

from ._schedule import FormulaSchedule


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[Any]) -> Schedule:
    """One schedule up to a boundary, the next from there on.

        f(t) = schedule_i(t - b_i) for b_i <= t < b_{i+1}, b_0 = 0

    Each schedule counts from its own first step.

    Args:
      schedules: functions of a count.
      boundaries: the counts at which the second, third, ... schedule takes over; in rising order, one fewer
        than there are schedules.

    Returns:
      Function of the count. If all the schedules are nablax's, calling it is one compiled call.

    Raises:
      ArgumentError: a schedule is not callable, or there is none; schedules or boundaries is no list.
      HyperparameterError: the number or the order of the boundaries is wrong.

    >>> from nablax.schedules import constant_schedule, linear_schedule
    >>> f = join_schedules([linear_schedule(0.0, 1.0, 10), constant_schedule(1.0)], [10])
    >>> print(f(5), f(50))
    0.5 1.0
    """
    name = "join_schedules"
    for argument, value in (("schedules", schedules), ("boundaries", boundaries)):
        if not isinstance(value, Iterable):
            raise ArgumentError(
                f"{name}: {argument} must be a list, got {type(value).__name__}: {value!r}."[:300]
            )
    schedules, boundaries = tuple(schedules), tuple(boundaries)
    _check_pieces(name, schedules, boundaries)
    if not boundaries:
        return schedules[0]
    formulas = tuple(s.formula for s in schedules if isinstance(s, FormulaSchedule))
    if len(formulas) == len(schedules):
        return FormulaSchedule(name, joined, formulas, boundaries)

    def schedule(count: Any) -> jax.Array:
        return joined(jnp.asarray(count), schedules, boundaries)

    schedule.__name__ = schedule.__qualname__ = name
    return schedule


def joined(count: jax.Array, schedules: tuple[Any, ...], boundaries: tuple[Any, ...]) -> jax.Array:
    """The formula of `join_schedules`, of formulas or of any functions."""
    value = schedules[0](count)
    for schedule, boundary in zip(schedules[1:], boundaries, strict=True):
        # A schedule is never asked about counts below 0: NaN there would reach the gradients.
        value = jnp.where(count < boundary, value, schedule(jnp.maximum(count - boundary, 0)))
    return value


def _check_pieces(name: str, schedules: tuple[Any, ...], boundaries: tuple[Any, ...]) -> None:
    if not schedules:
        raise ArgumentError(f"{name}: schedules must hold at least one schedule, got none.")
    for schedule in schedules:
        if not callable(schedule):
            raise ArgumentError(f"{name}: schedules must be functions of a count, got {schedule!r}.")
    if len(boundaries) != len(schedules) - 1:
        raise HyperparameterError(
            f"{name}: boundaries must hold one number fewer than there are schedules ({len(schedules)}), "
            f"got {len(boundaries)}."
        )
    for boundary in boundaries:
        check_number(name, "boundaries", boundary)
    known = [b for b in boundaries if not isinstance(b, jax.core.Tracer)]
    if any(later < earlier for earlier, later in pairwise(known)):
        raise HyperparameterError(f"{name}: boundaries must be in rising order, got {boundaries!r}.")
