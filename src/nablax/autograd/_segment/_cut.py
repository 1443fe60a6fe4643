"""Cutting a recording that has become long.

XLA's time grows faster than the program: a loop of 50 LSTM steps is 14 s of compiling as one program. So a recording is
cut when it reaches `max_segment` operations; and it is cut where its sequence of operations repeats, always at the same
phase, so that the body of a loop is compiled once and used for every stretch of it. Among the phases the one that
hands the fewest values over is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from sys import getrefcount
from typing import Any

from .._ground._stats import stats
from .._path._growing import settings
from .._path._record import emit
from .._path._recorded import is_recorded
from .._path._steps import Apply, Gradient, Input, Leaf
from .._path._trace import Trace, local
from .._path._trie import State
from ._flush import flush


class max_segment:
    """Set how many operations a recording may hold before it is cut; as a context, only inside it.

    >>> from nablax import autograd
    >>> with autograd.max_segment(40):
    ...     x = autograd.tensor(1.0)
    ...     for _ in range(100):
    ...         x = x * 1.01
    >>> autograd.max_segment(256)
    max_segment(256)
    """

    def __init__(self, operations: int) -> None:
        if isinstance(operations, bool) or not isinstance(operations, int) or operations < 1:
            raise ValueError(f"max_segment: operations must be a positive int, got {operations!r}.")
        self._now = operations
        self._before = settings.max_segment
        self._set(operations)

    def _set(self, operations: int) -> None:
        settings.max_segment = operations
        flush(local.trace)

    def __enter__(self) -> max_segment:
        return self

    def __exit__(self, *error: object) -> None:
        self._set(self._before)

    def __repr__(self) -> str:
        return f"max_segment({self._now})"


def cut(trace: Trace) -> None:
    """Run the recording up to the best place near its end; what comes after that place stays recorded."""
    end = trace.state
    if end is trace.closed:
        return
    stats.cuts += 1
    if end.cut is None:
        end.cut = _place(end)
    if end.cut is end:
        flush(trace)
    else:
        _split(trace, end.cut)


def _place(end: State) -> State:
    path = end.path()
    if any(isinstance(s.step, Gradient) for s in path):
        return end
    applied = [s for s in path if isinstance(s.step, Apply)]
    calls = [s.step.call for s in applied]  # type: ignore[union-attr]
    n = len(calls)
    period = _period(calls)
    handed = _handed_over(applied, path)
    if period is None:
        lowest = max(1, 3 * n // 4)
        best = min(range(lowest, n), key=lambda j: (handed[j], -j), default=n - 1)
        return applied[best] if best < n - 1 else end
    # One period back every use of a value is known; the same phase in the last period is where to cut.
    window = range(max(n - 2 * period, 0), n - period)
    fewest = min(handed[j] for j in window)
    from_start = all(calls[i] is calls[i - period] for i in range(period, n))
    choices = [j + period for j in window if handed[j] == fewest]
    aligned = [j for j in choices if from_start and (j + 1) % period == 0]
    best = (aligned or choices)[-1]
    return applied[best] if best < n - 1 else end


def _period(calls: Sequence[Any]) -> int | None:
    """The shortest period of the second half of a sequence."""
    n = len(calls)
    for period in range(1, n // 2 + 1):
        if all(calls[i] is calls[i - period] for i in range(n - max(n // 2, period), n)):
            return period
    return None


def _handed_over(applied: Sequence[State], path: Sequence[State]) -> list[int]:
    """For each operation: how many results would be handed over by a cut after it."""
    made = {v.slot: j for j, s in enumerate(applied) for v in (s.outs or (s,))}
    last_use: dict[int, int] = {}
    for j, s in enumerate(applied):
        for slot in s.reads:
            last_use[slot] = j
    counts = [0] * len(applied)
    for slot, j in made.items():
        for k in range(j, last_use.get(slot, j)):
            counts[k] += 1
    return counts


def _split(trace: Trace, at: State) -> None:
    """Run the recording up to the state `at`; record the rest again on top of the results."""
    path = trace.state.path()
    tail = [s for s in path if s.size > at.size]
    size = at.size
    alive = [t for t in trace.outs if getrefcount(t) > 3]
    late = [t for t in alive if t._s.slot >= size]
    held: dict[int, Any] = {t._s.slot: t for t in alive if t._s.slot < size}
    entered = trace.state.inputs()
    early_inputs = sum(s.size <= size for s in entered)
    values, inputs, links, mode = trace.values, trace.inputs, trace.links, trace.mode

    states = {v.slot: v for s in path for v in (s.outs or (s,))}
    place = {s.slot: i for i, s in enumerate(entered)}
    used = {slot for s in tail for slot in s.reads}
    trace.outs = list(held.values())
    trace.append = trace.outs.append
    for slot in used:
        if slot < size and slot not in held and slot not in place:
            held[slot] = emit(trace, states[slot])
    for tensor in inputs[early_inputs:]:
        if tensor is not None and not is_recorded(tensor):
            tensor._s = None
    trace.state = at
    trace.values, trace.inputs = values[:early_inputs], inputs[:early_inputs]
    trace.links = {slot: link for slot, link in links.items() if slot < size}
    late_watched = {slot: w for slot, w in trace.watched.items() if slot >= size}
    trace.watched = {slot: w for slot, w in trace.watched.items() if slot < size}
    late_slots = [t._s.slot for t in late]
    wide = trace.x64
    flush(trace)
    trace.wide = wide

    now: dict[int, State] = {}

    def state_now(slot: int) -> State:
        if slot in now:
            return now[slot]
        if slot in held:
            return trace.source(held[slot])
        i = place[slot]
        now[slot] = _enter_again(trace, states[slot], values[i], inputs[i], links)
        return now[slot]

    for old in tail:
        trace.set_mode(old.mode)
        step = old.step
        if isinstance(step, Input):
            if old.slot in used:
                state_now(old.slot)
        elif isinstance(step, Leaf):
            now[old.slot] = trace.leaf(state_now(step.slot))
            trace.links[now[old.slot].slot] = links[old.slot]
        elif isinstance(step, Apply):
            args = [state_now(slot) for slot in step.args]
            by_old = {states[slot]: state for slot, state in zip(step.args, args, strict=True)}
            key = tuple([by_old.get(k, k) if isinstance(k, State) else k for k in old.key])
            state = trace.apply(key, partial(getattr, step, "call"), args, step.sever and old.mode)
            for before, after in zip(old.outs or (), state.outs or (), strict=True):
                now[before.slot] = after
    trace.set_mode(mode)
    for tensor, slot in zip(late, late_slots, strict=True):
        tensor._s = now[slot]
        trace.append(tensor)
    trace.watched.update({now[slot].slot: watch for slot, watch in late_watched.items()})


def _enter_again(trace: Trace, old: State, value: Any, tensor: Any, links: dict[int, Any]) -> State:
    """An input of the old recording as an input of the new one."""
    same = tensor is not None and tensor._s is None and tensor._v is value
    state = trace.enter(old.aval, value, old.needs, tensor if same else None)
    if old.slot in links:
        trace.links[state.slot] = links[old.slot]
    if same:
        tensor._s = state
    return state


Trace.cut = cut
