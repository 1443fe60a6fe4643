"""The replay: a recording run again as a pure function, on arrays or on JAX's tracers.

Every derivative of this wing is `jax.vjp` of a replay. A recorded backward is a step like any other: its replay takes
the vjp of the replay of everything before it and keeps the values computed on the way, so that forward and backward
are one program and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .._ground._aval import Aval
from .._ground._quiet import quietly
from .._path._steps import Gradient, Step, inputs, severed

Taps = dict[int, list[Callable[[Any], Any]]]  # slot -> what is done to its value


@jax.custom_jvp
def _tap(value: Any, change: Any) -> Any:
    """`value + change` for derivatives, exactly `value` for values (adding a zero would turn -0.0 into 0.0)."""
    return value


@_tap.defjvp
def _tap_jvp(primals: tuple, tangents: tuple) -> tuple:
    return _tap(*primals), tangents[0] + tangents[1]


@jax.custom_jvp
def _stop(value: Any, change: Any) -> Any:
    """`value`, for the derivative by `change` a variable of its own: what it was computed from gets no gradient.

    Only that derivative stops. One taken inside it (a recorded Gradient step) or around it (create_graph) has a
    constant for `change`, and goes through.
    """
    return value


@partial(_stop.defjvp, symbolic_zeros=True)
def _stop_jvp(primals: tuple, tangents: tuple) -> tuple:
    value, change = tangents
    return _stop(*primals), value if isinstance(change, SymbolicZero) else change


def run(
    steps: Sequence[Step], values: Sequence[Any], taps: Taps | None = None, inner: bool = False
) -> list[Any]:
    """The value of every slot, from the values of the inputs.

    Args:
      steps: a recording.
      values: one for each Input step, in order.
      taps: functions through which the values of some slots go, for the sake of derivatives only.
      inner: whether a derivative of this replay is being taken by a later Gradient step; gradients recorded without
        create_graph are then constants.
    """
    taps = taps or {}
    last = max((i for i, step in enumerate(steps) if step.pulls), default=-1)
    entering = iter(values)
    env: list[Any] = []
    if last >= 0:
        head = steps[:last]
        used = sum(step.enters for step in head)
        env = _gradient(head, [next(entering) for _ in range(used)], steps[last], taps, inner)  # type: ignore[arg-type]
    for step in steps[last + 1 :]:
        start = len(env)
        env.extend(quietly(step.replay, env, entering))
        _tapped(env, start, taps)
    return env


def pullback(
    steps: Sequence[Step],
    values: Sequence[Any],
    roots: Sequence[int],
    targets: Sequence[int],
    avals: Sequence[Aval],
    taps: Taps | None = None,
    stops: Collection[int] = (),
) -> tuple[list[Any], Callable[..., Any], list[Any]]:
    """Values of the roots, their pullback to the targets (inputs or any other slots), and the value of every slot.

    The gradient stops at those of the targets that are in `stops`; through the others it goes on.
    """
    position = {slot: i for i, slot in enumerate(inputs(steps))}

    def of(changed: list[Any]) -> tuple[list[Any], list[Any]]:
        inside = list(values)
        tapped = {k: list(v) for k, v in (taps or {}).items()}
        for target, value in zip(targets, changed, strict=True):
            if target in position:
                inside[position[target]] = value
            else:
                tap = _stop if target in stops else _tap
                tapped.setdefault(target, []).append(partial(_changed, tap, value))
        env = run(steps, inside, tapped, inner=True)
        return [env[root] for root in roots], env

    at = [
        values[position[target]] if target in position else jnp.zeros(aval.shape, aval.dtype)
        for target, aval in zip(targets, avals, strict=True)
    ]
    return jax.vjp(of, at, has_aux=True)


def variable(known: Any) -> Callable[[Any], Any]:
    """A tap that makes a slot a variable of its own for derivatives by its `known` value."""
    return partial(_changed, _stop, known)


def _changed(tap: Callable[[Any, Any], Any], change: Any, value: Any) -> Any:
    return tap(value, change)


def _gradient(head: Sequence[Step], values: list[Any], step: Gradient, taps: Taps, inner: bool) -> list[Any]:
    roots, pull, env = pullback(head, values, step.roots, step.targets, step.avals, taps)
    cotangents = [
        jnp.ones_like(root) if slot < 0 else env[slot].astype(root.dtype)
        for root, slot in zip(roots, step.cotangents, strict=True)
    ]
    (gradients,) = pull(cotangents)
    if inner and not step.create:
        gradients = [severed(g) for g in gradients]
    start = len(env)
    env = [*env, *gradients]
    _tapped(env, start, taps)
    return env


def _tapped(env: list[Any], start: int, taps: Taps) -> None:
    """Let the values from slot `start` on go through their taps."""
    for slot in range(start, len(env)) if taps else ():
        for tap in taps.get(slot, ()):
            env[slot] = tap(env[slot])
