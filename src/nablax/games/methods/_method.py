"""What a method is: a start, and a step from one joint point to the next.

A step also reports a point at which it evaluated the field, and the value, so that the solver knows a residual without
asking again; and the point that belongs in the average, which theory takes where the step's gradient was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nablax.core import (
    ArgumentError,
    GradientTransformation,
    apply_updates,
    check_positive,
    checked,
    with_extra_args_support,
    wrapper,
)
from nablax.games._field import Field
from nablax.transforms import scale_by_learning_rate


class Step(NamedTuple):
    """z: the next point. state: the method's. seen, value: a point and F there. average: what to average."""

    z: Any
    state: Any
    seen: Any
    value: Any
    average: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
    """A way to play.

    Attributes:
      name: for messages and legends.
      init: `init(field, z) -> state`, a pytree of arrays.
      step: `step(field, z, state) -> Step`; the field is bound to the step's batch and key.
      evaluations: of the field in one step, a number or a function of the field; products with derivatives of the
        field are not counted.
      prepare: what the method does to the field before it starts.
    """

    name: str
    init: Callable[[Field, Any], Any]
    step: Callable[[Field, Any, Any], Step]
    evaluations: int | Callable[[Field], int]
    prepare: Callable[[Field], Field] = lambda field: field


def as_base(who: str, learning_rate: Any, argument: str = "learning_rate") -> Any:
    """The transformation that turns gradients into steps.

    Args:
      who: the method that speaks in errors.
      learning_rate: a positive number, a traced number, a schedule, any gradient transformation, or a dict with one of
        these for each player.
      argument: its name.
    """
    if isinstance(learning_rate, Mapping):
        return _per_player(who, {p: as_base(who, r, f"{argument}[{p!r}]") for p, r in learning_rate.items()})
    if hasattr(learning_rate, "init") and hasattr(learning_rate, "update"):
        return with_extra_args_support(learning_rate)
    check_positive(who, **{argument: learning_rate})
    return scale_by_learning_rate(learning_rate)


@checked(None, "per_player")
def _per_player(who: str, each: dict[str, Any]) -> GradientTransformation:
    def init(params: Any) -> Any:
        if not isinstance(params, Mapping) or set(params) != set(each):
            players = ", ".join(params) if isinstance(params, Mapping) else type(params).__name__
            raise ArgumentError(
                f"{who}: step sizes are given for {', '.join(each)}, but the point has {players}."
            )
        return {p: each[p].init(params[p]) for p in each}

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        done = {
            p: each[p].update(updates[p], state[p], None if params is None else params[p]) for p in updates
        }
        return {p: u for p, (u, _) in done.items()}, {p: s for p, (_, s) in done.items()}

    return wrapper(init, update, each, {player: (player,) for player in each})


def move(field: Field, z: Any, updates: Any) -> Any:
    """P(z + updates)."""
    return field.project(apply_updates(z, updates))


def need_players(who: str, field: Field, exactly: int | None = None) -> None:
    """Refuses a field without players, or with another number of them."""
    if not field.players or (exactly is not None and len(field.players) != exactly):
        found = f"{len(field.players)} players" if field.players else "an operator without players"
        wanted = "a game made by games.field" if exactly is None else f"a game of {exactly} players"
        raise ArgumentError(f"{who} needs {wanted}, got {found}.")
