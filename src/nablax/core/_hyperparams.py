"""The hyperparameters of a transformation: the numeric arguments of the calls that made it.

The names are those that the user wrote: `adamw(1e-3)` has `adamw/learning_rate`, whatever parts it consists of; in
`chain(clip(1.0), adamw(1e-3))`, a chain without a name of its own, they are `clip/max_delta`, `adamw/learning_rate`.
To change one is to make the call again, so that everything derived from it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nablax.core._arguments import as_passed
from nablax.core._calls import checks_of
from nablax.core._chain import label_of
from nablax.core._errors import ArgumentError
from nablax.core._number import Number, is_number
from nablax.core._rule import leafwise
from nablax.core._value import Call, body_of, call_of
from nablax.core._wrapper import read


class Hyperparameter(NamedTuple):
    """One numeric argument.

    Attributes:
      value: a number, a pair of numbers, an array, or a schedule.
      decay: it is the decay of a moving average.
      integer: it is a whole number.
    """

    value: Any
    decay: bool
    integer: bool


def _is_value(x: Any) -> bool:
    return is_number(x) or isinstance(x, np.ndarray | jax.Array | Number)


def _own(call: Call) -> Iterator[tuple[str, Hyperparameter]]:
    """The hyperparameters among the arguments of one call."""
    if call.function is leafwise:
        for name, value in call.arguments["hyperparams"].items():
            if value is not None:
                yield name, Hyperparameter(value, False, False)
        return
    checks = checks_of(call.function)
    for name, value in call.arguments.items():
        check = checks.get(name)
        if check is None:
            continue
        numbers = isinstance(value, tuple | list) and len(value) > 0 and all(map(_is_value, value))
        if check.numeric and (_is_value(value) or numbers or (check.schedule and callable(value))):
            yield name, Hyperparameter(value, check.decay, check.integer)


def _inner(call: Call) -> Iterator[tuple[str, Any, Callable[[Any], Any]]]:
    """The transformations among the arguments of one call: a name, the transformation, and how to put another there."""

    def put(argument: str, entry: Any = None, head: Any = None) -> Callable[[Any], Any]:
        def change(new: Any) -> Any:
            new = new if head is None else (head, new)
            return {argument: new if entry is None else _Entry(entry, new)}

        return change

    for name, value in call.arguments.items():
        if call_of(value) is not None:
            yield name, value, put(name)
        elif isinstance(value, Mapping) and call.function is not leafwise:
            for k, v in value.items():
                if call_of(v) is not None:
                    yield str(k), v, put(name, k)
        elif isinstance(value, tuple) and name == "args":
            for i, (label, v) in enumerate(zip(call.body.children, value, strict=False)):
                pair = isinstance(v, tuple) and len(v) == 2 and isinstance(v[0], str)
                tx = v[1] if pair else v
                if call_of(tx) is not None:
                    yield label, tx, put(name, i, v[0] if pair else None)


def takes_transformations(call: Call) -> bool:
    """Whether there are transformations among the arguments of a call."""
    return any(True for _ in _inner(call))


class _Entry(NamedTuple):
    """One entry of an argument that is a dict or a tuple."""

    key: Any
    value: Any


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _walk(tx: Any, path: str) -> Iterator[tuple[str, Hyperparameter]]:
    call = call_of(tx)
    if call is None:
        return
    for name, found in _own(call):
        yield _join(path, name), found
    for name, child, _ in _inner(call):
        yield from _walk(child, _join(path, name))


def described(tx: Any) -> dict[str, Hyperparameter]:
    """All hyperparameters of a transformation with what is known of them, by path."""
    return dict(_walk(tx, label_of(tx)))


def hyperparams(tx: Any) -> dict[str, Any]:
    """The numbers and schedules of a transformation, by path.

    Args:
      tx: a transformation; parts of other libraries keep theirs to themselves.

    Returns:
      `{"adam/learning_rate": 0.1, ...}`: the names of the calls and of their arguments.

    Example:
      >>> from nablax.transforms import clip, scale
      >>> from nablax.core import chain
      >>> hyperparams(chain(clip(1.0), scale(-0.1)))
      {'clip/max_delta': 1.0, 'scale/step_size': -0.1}
    """
    return {path: found.value for path, found in described(tx).items()}


def current_values(tx: Any, state: Any) -> dict[str, Any]:
    """The value that the next update will use for each hyperparameter, schedules evaluated at their counts.

    Args:
      tx: a transformation.
      state: its state.

    Returns:
      A dict by the paths of `hyperparams(tx)`; a schedule whose count the state does not hold is left out.
    """
    values = {}
    for path, found in described(tx).items():
        if not callable(found.value):
            values[path] = found.value
            continue
        count = _count_of(tx, state, found.value)
        if count is not None:
            values[path] = found.value(count)
    return values


def _count_of(tx: Any, state: Any, schedule: Any) -> Any:
    """The count at which a schedule will be evaluated, found where it is used; None where it cannot be told."""
    body: Any = body_of(tx)
    if body is None or state is None:
        return None
    for value in getattr(body, "hyperparams", {}).values():
        if value is schedule or getattr(value, "schedule", None) is schedule:
            state = state.inner_state if body.mask else state
            count = getattr(state, "count", None)
            full = getattr(value, "full", None)
            return count if full is None or count is None else full(count)
    states = body.states(state)
    for name, child in body.children.items():
        count = _count_of(child, states.get(name), schedule)
        if count is not None:
            return count
    where = getattr(body, "count", None)
    call = call_of(tx)
    if where is not None and call is not None and any(v is schedule for v in call.arguments.values()):
        return read(state, where)
    return None


def with_hyperparams(tx: Any, values: Mapping[str, Any]) -> Any:
    """The same transformation with other hyperparameters: the calls that made it, made again.

    Args:
      tx: a transformation.
      values: new numbers (traced ones too) or schedules, by the paths of `hyperparams(tx)`. A schedule in the place of
        a number needs a state that counts: that of the new transformation's `init`.

    Raises:
      KeyError: a path that `tx` does not have; the message lists those it has.
      HyperparameterError: a value that the call refuses.
    """
    known = hyperparams(tx)
    for path in values:
        if path not in known:
            raise KeyError(f"with_hyperparams: no hyperparameter {path!r}; there are {', '.join(known)}.")
    return _rebuilt(tx, values, label_of(tx)) if values else tx


def _rebuilt(tx: Any, values: Mapping[str, Any], path: str) -> Any:
    call = call_of(tx)
    if call is None:
        return tx
    changes = {name: values[p] for name, _ in _own(call) if (p := _join(path, name)) in values}
    if call.function is leafwise and changes:
        changes = {"hyperparams": {**call.arguments["hyperparams"], **changes}}
    return _again(tx, call, changes, lambda name, child: _rebuilt(child, values, _join(path, name)))


def with_children(tx: Any, change: Callable[[Any], Any]) -> Any:
    """The transformation with others inside it changed.

    Args:
      tx: a transformation.
      change: `change(inner)` is asked for `tx` and for every transformation inside it, outermost first, and returns
        what shall stand there, or None to look further inside.
    """
    new, call = change(tx), call_of(tx)
    if new is not None or call is None:
        return tx if new is None else new
    return _again(tx, call, {}, lambda name, child: with_children(child, change))


def _again(tx: Any, call: Call, changes: dict[str, Any], inside: Callable[[str, Any], Any]) -> Any:
    """The call made again, with other arguments and with what `inside` makes of each inner transformation."""
    arguments = {**call.arguments, **changes}
    same = not changes
    for name, child, put in _inner(call):
        new = inside(name, child)
        if new is child:
            continue
        same = False
        for argument, change in put(new).items():
            old = arguments[argument]
            if isinstance(change, _Entry) and isinstance(old, Mapping):
                change = type(old)({**old, change.key: change.value})  # type: ignore[call-arg]
            elif isinstance(change, _Entry):
                change = (*old[: change.key], change.value, *old[change.key + 1 :])
            arguments[argument] = change
    if same:
        return tx
    args, kwargs = as_passed(call.function, arguments)
    return call.function(*args, **kwargs)


def check_known(who: str, tx: Any) -> None:
    """Refuses a transformation that does not know its calls, where hyperparameters are asked for."""
    if call_of(tx) is None:
        raise ArgumentError(
            f"{who}: {type(tx).__name__} is a transformation of another library, which keeps its hyperparameters to "
            "itself; give them in the call that makes it."
        )
