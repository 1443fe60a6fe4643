"""The replay: a recording run again as a pure function, on arrays or on JAX's tracers.

Every derivative of this wing is `jax.vjp` of a replay. A recorded backward is a step like any other: its replay takes
the vjp of the replay of everything before it and keeps the values computed on the way, so that forward and backward
are one program and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ._aval import Aval
from ._trie import Apply, Gradient, Input, Leaf, Step

Taps = dict[int, list[Any]]


@jax.custom_jvp
def _tap(value: Any, change: Any) -> Any:
    """`value + change` for derivatives, exactly `value` for values (adding a zero would turn -0.0 into 0.0)."""
    return value


@_tap.defjvp
def _tap_jvp(primals: tuple, tangents: tuple) -> tuple:
    return primals[0], tangents[0] + tangents[1]


def run(
    steps: Sequence[Step], values: Sequence[Any], taps: Taps | None = None, inner: bool = False
) -> list[Any]:
    """The value of every slot, from the values of the inputs.

    Args:
      steps: a recording.
      values: one for each Input step, in order.
      taps: changes to add, for derivatives only, to the values of some slots.
      inner: whether a derivative of this replay is being taken by a later Gradient step; gradients recorded without
        create_graph are then constants.
    """
    taps = taps or {}
    last = max((i for i, step in enumerate(steps) if isinstance(step, Gradient)), default=-1)
    entering = iter(values)
    env: list[Any] = []
    if last >= 0:
        head = steps[:last]
        used = sum(isinstance(step, Input) for step in head)
        env = _gradient(head, [next(entering) for _ in range(used)], steps[last], taps, inner)  # type: ignore[arg-type]
    for step in steps[last + 1 :]:
        start = len(env)
        if isinstance(step, Apply):
            results = step.call.flat(*[env[i] for i in step.args])
            env.extend(map(_severed, results) if step.sever else results)
        elif isinstance(step, Input):
            env.append(next(entering))
        elif isinstance(step, Leaf):
            env.append(_severed(env[step.slot]))
        for slot in range(start, len(env)) if taps else ():
            for change in taps.get(slot, ()):
                env[slot] = _tap(env[slot], change)
    return env


def pullback(
    steps: Sequence[Step],
    values: Sequence[Any],
    roots: Sequence[int],
    targets: Sequence[int],
    avals: Sequence[Aval],
    taps: Taps | None = None,
) -> tuple[list[Any], Callable[..., Any], list[Any]]:
    """Values of the roots, their pullback to the targets (inputs or any other slots), and the value of every slot."""
    position: dict[int, int] = {}
    slot = 0
    for step in steps:
        if isinstance(step, Input):
            position[slot] = len(position)
        slot += width(step)

    def of(changed: list[Any]) -> tuple[list[Any], list[Any]]:
        inside = list(values)
        tapped = {k: list(v) for k, v in (taps or {}).items()}
        for target, value in zip(targets, changed, strict=True):
            if target in position:
                inside[position[target]] = value
            else:
                tapped.setdefault(target, []).append(value)
        env = run(steps, inside, tapped, inner=True)
        return [env[root] for root in roots], env

    at = [
        values[position[target]] if target in position else jnp.zeros(aval.shape, aval.dtype)
        for target, aval in zip(targets, avals, strict=True)
    ]
    return jax.vjp(of, at, has_aux=True)


def width(step: Step) -> int:
    """How many slots the results of a step take."""
    if isinstance(step, Apply):
        return len(step.needs)
    return len(step.targets) if isinstance(step, Gradient) else 1


def _gradient(head: Sequence[Step], values: list[Any], step: Gradient, taps: Taps, inner: bool) -> list[Any]:
    roots, pull, env = pullback(head, values, step.roots, step.targets, step.avals, taps)
    cotangents = [
        jnp.ones_like(root) if slot < 0 else env[slot].astype(root.dtype)
        for root, slot in zip(roots, step.cotangents, strict=True)
    ]
    (gradients,) = pull(cotangents)
    if inner and not step.create:
        gradients = [_severed(g) for g in gradients]
    start = len(env)
    env = [*env, *gradients]
    for slot in range(start, len(env)):
        for change in taps.get(slot, ()):
            env[slot] = _tap(env[slot], change)
    return env


def _severed(value: Any) -> Any:
    return jax.lax.stop_gradient(value)
