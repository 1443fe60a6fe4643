"""Ctrl-C never costs the model: between the call that consumes the old arrays and the assignment of the new ones there
is a moment in which an exception would lose both.

Two ways around it. `Shield` keeps SIGINT away from code that takes several instructions. Where JAX calls a program
without running any Python, the call and the storing of what it returns can be one instruction, `place[:] =
starmap(program, (args,))`: Python runs handlers between instructions only.
"""

from __future__ import annotations

import sys
import threading

# What `signal` wraps: the wrappers take 2 us each, which is much of a small step.
from _signal import SIGINT, getsignal, signal  # type: ignore[import-not-found]
from collections.abc import Callable
from threading import get_ident
from typing import Any

_MAIN = threading.main_thread().ident


class Shield:
    """A lock in whose body SIGINT is noted instead of raised; at its end the handler is called that was there.

    The handler changes before the lock is taken and after it is given back, so no exception falls in between.
    """

    __slots__ = ("_before", "_caught", "_noting", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._before: Any = None
        self._caught: Any = None
        self._noting = self._note

    def __enter__(self) -> None:
        # Python runs handlers in the main thread, and only it may set them.
        if get_ident() == _MAIN:
            before = getsignal(SIGINT)
            if callable(before):
                self._before = before
                signal(SIGINT, self._noting)
        self.lock.acquire()

    def _note(self, number: int, frame: Any) -> None:
        self._caught = (number, frame)

    def __exit__(self, *error: Any) -> None:
        self.lock.release()
        if get_ident() == _MAIN and self._before is not None:
            before, self._before = self._before, None
            caught, self._caught = self._caught, None
            signal(SIGINT, before)
            if caught is not None:
                before(*caught)


def watched(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, bool]:
    """What a function returns, and whether Python code may have run in it."""
    if sys.getprofile() is not None:  # a profiler's own; it would be lost
        return function(*args), True
    calls: list[Any] = []

    def note(frame: Any, event: str, arg: Any) -> None:
        if event == "call":
            calls.append(frame)

    sys.setprofile(note)
    try:
        out = function(*args)
    finally:
        sys.setprofile(None)
    return out, bool(calls)
