"""The first tier: a recording run operation by operation, each from its own compiled program.

No compiler is asked for more than single operations, which most programs share. The backward is the textbook reverse
sweep; the derivative of each operation is `jax.vjp` of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ._aval import Aval
from ._replay import width
from ._trie import Apply, Gradient, Input, Leaf, Step

FAILED = object()  # in the place of a value that could not be computed
add = jax.jit(lambda a, b: a + b)
_ones = jax.jit(jnp.ones_like)


def run(
    steps: Sequence[Step], values: Sequence[Any], avals: Sequence[Aval], needs: Sequence[bool]
) -> list[Any]:
    """The value of every slot."""
    env: list[Any] = []
    entering = iter(values)
    for n, step in enumerate(steps):
        env += _results(step, steps[:n], env, entering, avals, needs)
    return env


def salvage(
    steps: Sequence[Step], values: Sequence[Any], avals: Sequence[Aval], needs: Sequence[bool]
) -> tuple[list[Any], int | None]:
    """The value of every slot that can be computed, FAILED in the others, and the number of the step that failed first.

    A backward counts as failed with any of the values it goes through.
    """
    env: list[Any] = []
    entering = iter(values)
    first = None
    for n, step in enumerate(steps):
        try:
            env += jax.block_until_ready(_results(step, steps[:n], env, entering, avals, needs))
        except Exception:
            env += [FAILED] * width(step)
            first = n if first is None else first
    return env, first


def _results(
    step: Step, before: Sequence[Step], env: Sequence[Any], entering: Iterator[Any], avals: Sequence[Aval],
    needs: Sequence[bool],
) -> Sequence[Any]:  # fmt: skip
    if isinstance(step, Input):
        return [next(entering)]
    if isinstance(step, Leaf):
        return [env[step.slot]]
    if isinstance(step, Apply):
        return step.call.run([env[i] for i in step.args], tuple(avals[i] for i in step.args))
    cotangents: dict[int, Any] = {}
    for root, slot in zip(step.roots, step.cotangents, strict=True):
        ct = _ones(env[root]) if slot < 0 else env[slot].astype(env[root].dtype)
        cotangents[root] = add(cotangents[root], ct) if root in cotangents else ct
    return pull(before, env, avals, needs, cotangents, step.targets)


def pull(
    steps: Sequence[Step],
    env: Sequence[Any],
    avals: Sequence[Aval],
    needs: Sequence[bool],
    cotangents: dict[int, Any],
    targets: Sequence[int],
    look: Callable[[int, Apply, list[Any]], None] | None = None,
) -> list[Any]:
    """The reverse sweep: cotangents of `targets`, given those of some slots.

    `look` is shown each operation with its first slot and the cotangents of its arguments.
    """
    cotangents = dict(cotangents)
    for start, step, wants in reversed(_carrying(steps, needs)):
        given = {
            k: cotangents[start + k]
            for k in range(len(step.needs))
            if start + k in cotangents and step.needs[k]
        }
        if not given:
            continue
        args = [env[i] for i in step.args]
        grads = step.call.pull(args, tuple(avals[i] for i in step.args), given, wants)
        if look is not None:
            look(start, step, grads)
        for i, grad in zip(wants, grads, strict=True):
            slot = step.args[i]
            cotangents[slot] = add(cotangents[slot], grad) if slot in cotangents else grad
    return [cotangents[t] if t in cotangents else jnp.zeros(avals[t].shape, avals[t].dtype) for t in targets]


def missing(steps: Sequence[Step], avals: Sequence[Aval], needs: Sequence[bool]) -> int:
    """How many programs of single operations would have to be compiled first."""
    wanted: set[tuple] = set()
    for step in steps:
        if isinstance(step, Apply):
            kinds = tuple(avals[i] for i in step.args)
            if step.call.missing(kinds):
                wanted.add((step.call, kinds, None))
    if any(isinstance(step, Gradient) for step in steps):
        for _, step, wants in _carrying(steps, needs):
            kinds = tuple(avals[i] for i in step.args)
            given = tuple(k for k, need in enumerate(step.needs) if need)
            if step.call.missing(kinds, (given, wants)):
                wanted.add((step.call, kinds, (given, wants)))
    return len(wanted)


def _carrying(steps: Sequence[Step], needs: Sequence[bool]) -> list[tuple[int, Apply, tuple[int, ...]]]:
    """Operations that carry gradients: their first slot, themselves, and the arguments that want one."""
    found, slot = [], 0
    for step in steps:
        if isinstance(step, Apply):
            wants = tuple(i for i, arg in enumerate(step.args) if needs[arg])
            if any(step.needs):
                found.append((slot, step, wants))
            slot += len(step.needs)
        else:
            slot += len(step.targets) if isinstance(step, Gradient) else 1
    return found
