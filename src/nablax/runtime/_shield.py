"""Ctrl-C waits for the end of a step: between the call that consumes the old arrays and the assignment of the new ones
there is a moment in which an exception would lose both.
"""

from __future__ import annotations

import threading

# What `signal` wraps: the wrappers take 2 us each, which is much of a small step.
from _signal import SIGINT, getsignal, signal  # type: ignore[import-not-found]
from threading import get_ident
from typing import Any

_MAIN = threading.main_thread().ident


class Shield:
    """A lock in whose body SIGINT is noted instead of raised; at its end the handler is called that was there.

    The handler changes before the lock is taken and after it is given back, so no exception falls in between.
    """

    __slots__ = ("_before", "_caught", "_lock", "_noting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
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
        self._lock.acquire()

    def _note(self, number: int, frame: Any) -> None:
        self._caught = (number, frame)

    def __exit__(self, *error: Any) -> None:
        self._lock.release()
        if get_ident() == _MAIN and self._before is not None:
            before, self._before = self._before, None
            caught, self._caught = self._caught, None
            signal(SIGINT, before)
            if caught is not None:
                before(*caught)
