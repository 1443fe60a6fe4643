"""The thread that compiles, beside the one that runs."""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from typing import Any

MOST_WAITING = 64  # programs in the compiler's queue


class Compiler:
    """The thread that compiles, and what waits for it (see `Hot` in _tiers.py): the least recently asked for falls out
    first."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start anew, as in the child of a fork: its parent's thread is not there."""
        for hot in getattr(self, "_waiting", ()):
            hot.dropped()
        self._waiting: OrderedDict[Any, None] = OrderedDict()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy: Any = None
        self._closed = False

    def add(self, hot: Any) -> None:
        """Put a program into the queue."""
        with self._change:
            if self._closed:
                return
            hot.queued()
            self._waiting[hot] = None
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)[0].dropped()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="nablax-compiler", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                hot, _ = self._waiting.popitem(last=False)
                self._busy = hot
            hot.compile()
            with self._change:
                self._busy = None
                self._change.notify_all()
            del hot

    def waiting(self) -> int:
        """Programs in the queue, and the one at work."""
        return len(self._waiting) + (self._busy is not None)

    def drain(self) -> list[Any]:
        """Wait until the queue is empty; returns what was in it."""
        with self._change:
            found = [*self._waiting, *([self._busy] if self._busy is not None else [])]
            while self._waiting or self._busy is not None:
                self._change.wait(0.1)
        return found

    def close(self) -> None:
        """Let the thread end: nothing may be compiling while the interpreter takes itself apart."""
        with self._change:
            self._closed = True
            while self._waiting:
                self._waiting.popitem()[0].dropped()
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()


compiler = Compiler()
atexit.register(compiler.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=compiler.reset)
