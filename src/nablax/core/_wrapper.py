"""Wrappers: transformations around others, whose states they can read and write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nablax.core._base import with_extra_args_support
from nablax.core._value import Call, Transformation, body_of

Place = Sequence[Any]
Seen = Callable[[Any, Any], Mapping[str, Any]]


def _at(state: Any, step: Any) -> Any:
    return getattr(state, step) if hasattr(state, "_fields") and isinstance(step, str) else state[step]


def read(state: Any, place: Place) -> Any:
    """What stands at a place of a state: names of fields, keys of dicts and indices, from the outside in."""
    return functools.reduce(_at, place, state)


def write(state: Any, place: Place, value: Any) -> Any:
    """The state with something else at a place."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    new = write(_at(state, step), rest, value)
    if hasattr(state, "_fields"):
        name = step if isinstance(step, str) else state._fields[step]
        return state._replace(**{name: new})
    if isinstance(state, Mapping):
        return type(state)({**state, step: new})  # type: ignore[call-arg]
    return type(state)([*state[:step], new, *state[step + 1 :]])


class Wrapped:
    """The body of a wrapper.

    Attributes:
      first_state: `init(params) -> state`; declared fields where it is `Fields`.
      children: the inner transformations by name.
      places: by name, where the state of the inner transformation stands in the wrapper's; without an entry it has
        none of its own there.
      advance: of a wrapper that decides on the parameters itself, see `moving`; None for others.
      count: the place of the count of updates that the wrapper's own schedules are evaluated at; None without any.
      seen: what each inner transformation sees of the parameters; None where each sees them as they are.
    """

    def __init__(
        self,
        init: Callable[[Any], Any],
        update: Callable[..., Any],
        children: Mapping[str, Any],
        places: Mapping[str, Place],
        count: Place | None,
        seen: Seen | None = None,
    ):
        self.first_state, self._update = init, update
        self.children, self.places, self.count, self.seen = children, places, count, seen
        self.advance: Callable[..., Any] | None = None

    @property
    def moves(self) -> bool:
        """Whether it decides on the parameters itself."""
        return self.advance is not None

    def init(self, params: Any) -> Any:
        return self.first_state(params)

    def update(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        return self._update(updates, state, params, **extra)

    def states(self, state: Any) -> dict[str, Any]:
        return {name: read(state, place) for name, place in self.places.items()}

    def with_states(self, state: Any, states: Mapping[str, Any]) -> Any:
        """The wrapper's state with other states of the inner transformations."""
        for name, new in states.items():
            state = write(state, self.places[name], new)
        return state


def wrapper(
    init: Callable[[Any], Any],
    update: Callable[..., Any],
    children: Mapping[str, Any] | None = None,
    places: Mapping[str, Place] | None = None,
    count: Place | None = None,
    seen: Seen | None = None,
) -> Transformation:
    """Makes a transformation around others; the function that returns it stands under `@checked(...)`.

    Args:
      init: `init(params) -> state`.
      update: `update(updates, state, params, **extra) -> (updates, state)`.
      children: the inner transformations by name.
      places: by the same names, where their states stand in the wrapper's, such as `("inner_state",)`.
      count: where the wrapper counts the updates that its own schedules are evaluated at.
      seen: `seen(params, tree) -> dict`: by the same names, what the inner transformation sees of a tree with the
        structure of the parameters.
    """
    body = Wrapped(init, update, dict(children or {}), dict(places or {}), count, seen)
    return Transformation.of(Call(wrapper, {"init": init, "update": update}, body))


class Around(Wrapped):
    """The body of a wrapper of which the updates come as they are from the inner transformation, as wide as they are.

    Args:
      tx: the inner transformation.
      init: `init(params) -> state`.
      around: `around(update, updates, state, params, extra) -> (updates, state)`, where `update` is the inner one and
        takes the same four.
      place: of the inner transformation's state in the wrapper's; () where it is all of it.
    """

    def __init__(self, tx: Any, init: Callable[[Any], Any], around: Callable[..., Any], place: Place):
        super().__init__(init, tx.update, {"inner": tx}, {"inner": place}, None)
        self._tx, self._around = tx, around

    def update(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        return self._around(self._narrow, updates, state, params, extra)

    def update_wide(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        """`update`, its result as wide as it was computed."""
        wide = getattr(body_of(self._tx), "update_wide", self._narrow)
        return self._around(wide, updates, state, params, extra)

    def _narrow(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        return self._tx.update(updates, state, params, **extra)


def around(
    tx: Any, init: Callable[[Any], Any], update: Callable[..., Any], place: Place = ()
) -> Transformation:
    """Makes a transformation around another that leaves its updates as they are; see `Around`."""
    body = Around(with_extra_args_support(tx), init, update, place)
    return Transformation.of(Call(around, {"tx": tx, "init": init, "update": update, "place": place}, body))


def moving(
    init: Callable[[Any], Any],
    advance: Callable[..., Any],
    children: Mapping[str, Any],
    places: Mapping[str, Place],
) -> Transformation:
    """Makes a wrapper that decides on the parameters itself, or needs to know what becomes of them.

    A step of ours takes the parameters as they come. `update` hands out what is to be added, so that nothing may stand
    behind such a wrapper in a chain.

    Args:
      init, children, places: as of `wrapper`.
      advance: `advance(updates, state, params, extra, by_hand) -> core.Advanced`; `by_hand` says that the caller adds
        the updates.
    """

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        done = advance(updates, state, params, extra, True)
        return done.updates, done.state

    made = wrapper(init, update, children, places)
    made.call.body.advance = advance  # type: ignore[union-attr]
    return made
