"""Live hyperparameters: numbers that a compiled step reads from one array, so that setting one compiles nothing.

The step is built with open numbers (`core.Number`) in the calls that made the transformation, so a number means what
calling the optimizer with it would have meant. NaN stands for "follow the schedule".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    ArgumentError,
    HyperparameterError,
    Source,
    StructureError,
    check_known,
    described,
    frozen,
    is_number,
    open_number,
    resolve,
    with_hyperparams,
)


def as_number(value: Any, integer: bool) -> Any:
    """A value as Python's number, or a tuple of them; None where it is none, or not known yet."""
    if isinstance(value, tuple | list):
        entries = [as_number(v, integer) for v in value]
        return None if None in entries else tuple(entries)
    if isinstance(value, jax.core.Tracer) or np.shape(value) != ():
        return None
    if isinstance(value, np.ndarray | jax.Array | np.generic):
        value = value.item()
    if not is_number(value):
        return None
    return int(value) if integer and float(value).is_integer() else float(value)


class OpenSchedule:
    """A schedule until a number takes its place: NaN follows the schedule."""

    def __init__(self, schedule: Callable[[Any], Any], number: Any):
        self.schedule, self.number = schedule, number

    def __call__(self, count: Any) -> Any:
        live = jnp.asarray(self.number.array())
        return jnp.where(jnp.isnan(live), self.schedule(count), live)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenSchedule) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        return self.schedule, self.number.key


class Numbers:
    """The numbers among the hyperparameters of a transformation, and how to open them.

    Args:
      tx: the transformation. Arrays with several entries, and numbers that are being traced, stay as they are.
    """

    def __init__(self, tx: Any):
        self.tx = tx
        self.known = described(tx)
        self.first: dict[str, Any] = {}
        for path, found in self.known.items():
            value = math.nan if callable(found.value) else as_number(found.value, found.integer)
            if value is not None:
                self.first[path] = value

    def opened(self, source: Source) -> Any:
        """The transformation with its numbers read from a source."""
        values: dict[str, Any] = {}
        for path, first in self.first.items():
            found = self.known[path]
            number: Any = open_number(source, path, found.decay)
            if callable(found.value):
                number = OpenSchedule(found.value, number)
            elif isinstance(first, tuple):
                number = tuple(number.item(i) for i in range(len(first)))
            values[path] = number
        return with_hyperparams(self.tx, values)

    @property
    def structure(self) -> Any:
        """What transformations have in common that differ in numbers alone; hashable."""
        source = Source(token="structure")
        with source.building(self.first, None):
            return frozen(self.opened(source))

    def checked(self, who: str, path: str, value: Any) -> Any:
        """A new value of a hyperparameter as a number; None is its first one.

        Raises:
          ArgumentError: it is no number.
          HyperparameterError: it is not finite, or the call refuses it.
        """
        if value is None:
            return self.first[path]
        found = self.known[path]
        number = as_number(value, found.integer)
        if isinstance(value, bool | str) or number is None or (isinstance(number, float) and found.integer):
            kind = "an integer" if found.integer else "a number"
            raise ArgumentError(f"{who} takes {kind} or None, got {type(value).__name__}: {value!r}.")
        if isinstance(number, tuple) != isinstance(self.first[path], tuple):
            raise ArgumentError(f"{who} takes a value like {self.first[path]!r}, got {value!r}.")
        if not all(map(math.isfinite, number if isinstance(number, tuple) else (number,))):
            raise HyperparameterError(f"{who} must be a finite number, got {value}.")
        with_hyperparams(self.tx, {path: number})  # the call checks what it is given
        return number

    def rebuilt(self, values: Mapping[str, Any]) -> Any:
        """The transformation with these numbers, in which schedules that are followed stay."""
        changed = {
            path: value
            for path, value in values.items()
            if value != self.first[path] and not (isinstance(value, float) and math.isnan(value))
        }
        return with_hyperparams(self.tx, changed)


class Hyperparams(MutableMapping[str, Any]):
    """The hyperparameters of a transformation, by path or by any short name that is unique.

    Reading gives the number that was set; for a schedule that nobody overrode, the value of the next step. Setting a
    number takes effect at the next step, and means what calling the optimizer with it would have meant. Setting None
    gives a schedule back its say, or a number its first value. A pattern such as `"*/learning_rate"` sets all that it
    matches; `scale(name, factor)` multiplies them.

    Args:
      numbers: of the transformation.
      current: returns the value of the next step for each path.
      fits: raises where a transformation cannot go on with the state that is there.
    """

    def __init__(
        self, numbers: Numbers, current: Callable[[], Mapping[str, Any]], fits: Callable[[Any], None]
    ):
        self._numbers, self._current, self._fits = numbers, current, fits
        self.values_now: dict[str, Any] = dict(numbers.first)  # replaced, never changed
        self.by_hand: frozenset[str] = frozenset()  # the paths that were set, and not to None

    def _paths(self, name: str) -> list[str]:
        if not self._numbers.first:
            check_known("hyperparameters", self._numbers.tx)
        return resolve(name, self._numbers.first)

    def __getitem__(self, name: str) -> Any:
        found = [self._get(path) for path in self._paths(name)]
        if any(value != found[0] for value in found):
            raise KeyError(f"hyperparameters: {name!r} has several values: {found}.")
        return found[0]

    def _get(self, path: str) -> Any:
        value = self.values_now[path]
        follows = isinstance(value, float) and math.isnan(value)
        return float(self._current()[path]) if follows else value

    def __setitem__(self, name: str, value: Any) -> None:
        self.set({name: value})

    def set(self, values: Mapping[str, Any]) -> None:
        """Sets several at once: all of them, or, where one is refused, none."""
        new, by_hand = dict(self.values_now), set(self.by_hand)
        structural = False
        for name, value in values.items():
            for path in self._paths(name):
                new[path] = self._numbers.checked(f"hyperparameters[{name!r}]", path, value)
                structural |= new[path] != self.values_now[path] and self._numbers.known[path].integer
                (by_hand.discard if value is None else by_hand.add)(path)
        if structural:
            self._fits(self._numbers.rebuilt(new))
        self.values_now, self.by_hand = new, frozenset(by_hand)

    def candidate(self, values: Mapping[str, Any], by_hand: Iterable[str] = ()) -> dict[str, Any]:
        """All numbers as they would be with these, which may come from another run; unknown paths are left out.

        Args:
          values: numbers by path; None gives a schedule its say.
          by_hand: the paths that were set by hand; only their numbers take the place of a schedule.

        Raises:
          HyperparameterError: one is refused.
        """
        new = dict(self._numbers.first)
        for path, value in values.items():
            if path not in new or (callable(self._numbers.known[path].value) and path not in by_hand):
                continue
            unset = value is None or (isinstance(value, float) and math.isnan(value))
            new[path] = self._numbers.checked(f"hyperparameters[{path!r}]", path, None if unset else value)
        return new

    def scale(self, name: str, factor: float) -> None:
        """Multiplies all hyperparameters that a name or pattern means by a factor."""
        self.set({path: self._get(path) * factor for path in self._paths(name)})

    def __delitem__(self, name: str) -> None:
        self[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers.first)

    def __len__(self) -> int:
        return len(self._numbers.first)

    def __repr__(self) -> str:
        return f"Hyperparams({dict(self)})"


def check_state_fits(tx: Any, state: Any, params: Any) -> None:
    """Refuses a transformation whose `init` would make another kind of state than the one that is there.

    Raises:
      StructureError: another structure, or a leaf of another shape or dtype.
    """
    new = jax.eval_shape(tx.init, params)
    kinds = [
        (jax.tree.structure(tree), [(jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(tree)])
        for tree in (new, state)
    ]
    if kinds[0] != kinds[1]:
        raise StructureError(
            f"hyperparameters: {tx!r} needs another state than the one that is there; make a new optimizer with it."
        )
