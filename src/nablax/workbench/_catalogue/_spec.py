"""`NAME[:key=value,...]` on the command line: an optimizer with its options."""

from __future__ import annotations

import ast
import inspect
import math
from dataclasses import dataclass, field
from typing import Any

from nablax.core import ArgumentError

from ._names import pick
from ._optimizers import OPTIMIZERS, signature
from ._schedules import resolve_name, shape


@dataclass(frozen=True)
class Spec:
    """An optimizer and its options, without a learning rate.

    Attributes:
      text: as it was given; names the optimizer in tables and figures.
      name: its entry in `OPTIMIZERS`.
      options: keyword arguments.
      schedule: full name of the schedule that multiplies the rate, if any.
    """

    text: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    schedule: str | None = None

    def build(self, rate: Any, steps: int) -> Any:
        """The transformation at this rate, which may be traced, for a run of so many steps."""
        if self.schedule is None:
            return OPTIMIZERS[self.name](rate, **self.options)
        factor = shape(self.schedule, steps)
        return OPTIMIZERS[self.name](lambda count: rate * factor(count), **self.options)


def parse(text: str) -> Spec:
    """Reads `NAME[:key=value,...]`. Values are Python literals; a bare word is a string.

    The key `schedule` names a schedule that multiplies the rate.

    Raises:
      ArgumentError: an unknown name, a key that the optimizer does not take, a value that it refuses.

    Example:
      >>> parse("adamw:weight_decay=1e-2,b1=0.8").options
      {'weight_decay': 0.01, 'b1': 0.8}
    """
    name, _, rest = (part.strip() for part in text.partition(":"))
    pick(OPTIMIZERS, name, "optimizer", " (see nablax list)")
    options: dict[str, Any] = {}
    for item in _split(rest):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not key or not value:
            raise ArgumentError(f"compare: --optimizer {text}: expected key=value, got {item!r}.")
        if key in options:
            raise ArgumentError(f"compare: --optimizer {text}: {key} is given twice.")
        options[key] = _literal(value)
    schedule = options.pop("schedule", None)
    spec = Spec(text, name, options, None if schedule is None else resolve_name(str(schedule)))
    _check(spec)
    return spec


def _split(rest: str) -> list[str]:
    """At commas outside brackets."""
    items, depth = [""], 0
    for character in rest:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item for item in (i.strip() for i in items) if item]


def _literal(value: str) -> Any:
    spelled = {"true": True, "false": False, "none": None}
    if value.lower() in spelled:
        return spelled[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _check(spec: Spec) -> None:
    known = inspect.signature(OPTIMIZERS[spec.name]).parameters
    if "learning_rate" in spec.options:
        raise ArgumentError(f"compare: --optimizer {spec.text}: learning rates are set by --lr.")
    unknown = [key for key in spec.options if key not in known]
    if unknown:
        raise ArgumentError(
            f"compare: --optimizer {spec.text}: {spec.name} takes no {unknown[0]}; it is {signature(spec.name)}."
        )
    missing = [
        n for n, p in known.items() if p.default is p.empty and n not in {"learning_rate", *spec.options}
    ]
    if missing:
        raise ArgumentError(
            f"compare: --optimizer {spec.text}: {spec.name} needs {', '.join(missing)}; it is {signature(spec.name)}."
        )
    for key, value in spec.options.items():
        if isinstance(known[key].default, bool) and not isinstance(value, bool):
            raise ArgumentError(
                f"compare: --optimizer {spec.text}: {key} must be true or false, got {value!r}."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ArgumentError(f"compare: --optimizer {spec.text}: {key} must be finite, got {value}.")
    try:
        spec.build(1e-3, 1)
    except Exception as error:  # whatever a wrong value leads to, it is the value that is wrong
        raise ArgumentError(f"compare: --optimizer {spec.text}: {error}") from error
