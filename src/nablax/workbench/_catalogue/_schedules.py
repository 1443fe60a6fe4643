"""The table of schedules, read from `nablax.schedules`, and their use as a shape that multiplies a rate.

A schedule used as a shape peaks at 1 and spends itself over the run: its parameters are filled in by name, below.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import nablax.schedules
from nablax.core import ArgumentError, Schedule

from ._names import first_line, pick

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    name: function
    for name, function in sorted(vars(nablax.schedules).items())
    if inspect.isfunction(function) and not name.startswith("_")
}

_ENDINGS = ("", "_schedule", "_decay_schedule", "_decay")


def describe_schedule(name: str) -> str:
    """One line on the schedule of this name."""
    return first_line(SCHEDULES[name])


def _values(steps: int, peaked: bool) -> dict[str, Any]:
    """What a shape's required parameters are set to, by their names."""
    return {
        "value": 1.0,
        "init_value": 0.0 if peaked else 1.0,
        "peak_value": 1.0,
        "end_value": 0.0,
        "power": 1.0,
        "decay_rate": 0.1,
        "warmup_steps": steps // 10,
        "decay_steps": steps,
        "transition_steps": steps,
    }


def resolve_name(name: str) -> str:
    """The full name of a schedule whose ending (`_schedule`, `_decay_schedule`, `_decay`) may be left out.

    Raises:
      ArgumentError: there is no such schedule, or it needs more than a peak and a number of steps.
    """
    full = next((name + end for end in _ENDINGS if name + end in SCHEDULES), name)
    pick(SCHEDULES, full, "schedule")
    missing = [p for p in _required(full) if p not in _values(1, False)]
    if missing:
        raise ArgumentError(
            f"compare: schedule {full} cannot be used by name: it also needs {', '.join(missing)}."
        )
    return full


def _required(full: str) -> list[str]:
    parameters = inspect.signature(SCHEDULES[full]).parameters.values()
    return [p.name for p in parameters if p.default is p.empty]


def shape(full: str, steps: int) -> Schedule:
    """The schedule as a function of the count that peaks at 1, over so many steps."""
    return SCHEDULES[full](**_arguments(full, steps))


def shape_call(full: str, steps: int) -> str:
    """The call that makes it: `cosine_decay_schedule(init_value=1.0, decay_steps=400)`."""
    return f"{full}({', '.join(f'{name}={value!r}' for name, value in _arguments(full, steps).items())})"


def _arguments(full: str, steps: int) -> dict[str, Any]:
    required = _required(full)
    values = _values(steps, "peak_value" in required)
    return {name: values[name] for name in required}
