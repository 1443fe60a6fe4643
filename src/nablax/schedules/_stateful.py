"""Schedules with a state of their own: their value may depend on more than the count."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from nablax.core import FUNCTION, Schedule, safe_increment, zero_count


@runtime_checkable
class StatefulSchedule(Protocol):
    """What a schedule with a state offers."""

    def init(self) -> Any:
        """The state before the first update."""

    def update(self, state: Any, **extra_args: Any) -> Any:
        """The state after one more update, which came with these extra arguments."""

    def __call__(self, state: Any, **extra_args: Any) -> Any:
        """The value in this state."""


class WrappedScheduleState(NamedTuple):
    """count: updates so far, int32 scalar, 0 at the start."""

    count: jax.Array  # type: ignore[assignment]


class WrappedSchedule:
    """A function of the count as a stateful schedule, whose state is the count.

    Args:
      schedule_fn: function of the count.

    >>> from nablax.schedules import linear_schedule
    >>> schedule = WrappedSchedule(linear_schedule(0.0, 1.0, 4))
    >>> state = schedule.update(schedule.init())
    >>> print(schedule(state))
    0.25
    """

    def __init__(self, schedule_fn: Schedule):
        FUNCTION("WrappedSchedule", "schedule_fn", schedule_fn)
        self.schedule_fn = schedule_fn

    def init(self) -> WrappedScheduleState:
        """The count 0."""
        return WrappedScheduleState(zero_count())

    def update(self, state: WrappedScheduleState, **extra_args: Any) -> WrappedScheduleState:
        """One count more; extra arguments are not read."""
        return WrappedScheduleState(safe_increment(state.count))

    def __call__(self, state: WrappedScheduleState, **extra_args: Any) -> Any:
        """The schedule's value at the state's count."""
        return self.schedule_fn(state.count)
