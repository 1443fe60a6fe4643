"""Cutting a recording that has become long.

XLA's time grows faster than the program: a loop of 50 LSTM steps is 14 s of compiling as one program. So a recording is
cut when it reaches `max_segment` operations; and it is cut where its sequence of operations repeats, always at the same
phase, so that the body of a loop is compiled once and used for every stretch of it. Among the phases the one that
hands the fewest values over is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._ground._stats import stats
from .._path._growing import settings
from .._path._trace import Trace, local
from .._path._trie import State
from ._flush import flush
from ._tail import split


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
        split(trace, end.cut)


def _place(end: State) -> State:
    path = end.path()
    steps = end.steps()
    if any(step.pulls for step in steps):
        return end
    calls = [step.call for step in steps if step.call is not None]
    applied = [s for s, step in zip(path, steps, strict=True) if step.call is not None]
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
    made = {v.slot: j for j, s in enumerate(applied) for v in s.made}
    last_use: dict[int, int] = {}
    for j, s in enumerate(applied):
        for slot in s.reads:
            last_use[slot] = j
    counts = [0] * len(applied)
    for slot, j in made.items():
        for k in range(j, last_use.get(slot, j)):
            counts[k] += 1
    return counts


Trace.cut = cut
