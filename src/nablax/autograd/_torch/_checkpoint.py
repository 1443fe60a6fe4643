"""Checkpoints: a backward that computes the inside of a function again instead of keeping it.

The function is recorded as always, in a trace of its own; what it read (arguments, parameters, random numbers) are the
inputs of that recording. The recording, as a function of its inputs, under jax.checkpoint, is one operation of
the recording outside, and what the function made become results of it.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from typing import Any

import jax

from .._ground._answers import must_be_callable
from .._ground._references import OWN
from .._operation._call import FIXED
from .._path._record import record
from .._path._recorded import as_tensor
from .._path._trace import Trace, local
from .._program._replay import run
from .._segment._flush import flush


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool = False, **kwargs: Any) -> Any:
    """function(*args, **kwargs), recorded so that its backward computes it again instead of keeping what is inside.

    Gradients flow to all tensors that the function reads, also those that are no arguments. Random numbers are drawn
    once, and are the same when it is computed again. What was recorded before is computed first.
    A function that reads a value, or is longer than `max_segment`, is computed again only from there on.
    """
    must_be_callable("checkpoint", "function", function)
    outer = local.trace
    flush(outer)
    local.trace = inner = Trace()
    inner.set_mode(outer.mode)
    try:
        found = function(*args, **kwargs)
    except BaseException:
        inner.discard()
        raise
    finally:
        local.trace = outer
    _hand_over(inner, outer)
    return found


def _hand_over(inner: Trace, outer: Trace) -> None:
    """Make what is recorded inside one operation outside."""
    steps = tuple(inner.state.steps())
    alive = [t for t in inner.outs if getrefcount(t) > OWN]
    if _is_seen_into(inner, steps):
        local.trace = inner
        try:
            flush(inner)
        finally:
            local.trace = outer
        return
    states = [t._s for t in alive]
    slots = tuple([s.slot for s in states])
    entering = [
        t if t is not None and t.requires_grad else as_tensor(v)
        for t, v in zip(inner.inputs, inner.values, strict=True)
    ]
    inner.outs = []
    inner.discard()  # what entered is free again
    if not alive:
        return

    def inside(*values: Any) -> list[Any]:
        env = run(steps, values)
        return [env[slot] for slot in slots]

    end = record(
        ("checkpoint", steps, slots), lambda: ("checkpoint", jax.checkpoint(inside), FIXED), entering
    )
    for tensor, before, after in zip(alive, states, end.outs or (), strict=True):
        tensor._s = after
        if after.needs and not before.needs:
            tensor._s = record("detach", lambda: ("detach", lambda a: a), (tensor,), sever=True)
        outer.append(tensor)


def _is_seen_into(inner: Trace, steps: Any) -> bool:
    """Whether a hook listens inside, or something that requires grad is written to in place."""
    written = [t for t in inner.inputs if t is not None and t.requires_grad and not t._s.step.enters]
    return bool(inner.watched or written or any(step.is_leaf for step in steps))
