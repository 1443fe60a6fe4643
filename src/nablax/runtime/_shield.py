"""Ctrl-C waits for the end of a step: between the call that consumes the old arrays and the assignment of the new ones
there is a moment in which an exception would lose both.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps; the wrappers take 2 us each, which is much of a small step
import threading
from typing import Any

_MAIN = threading.main_thread().ident


class Shield:
    """A context in whose body SIGINT is noted instead of raised; at its end the handler is called that was there."""

    __slots__ = ("_before", "_caught")

    def __enter__(self) -> None:
        self._caught: Any = None
        self._before: Any = None
        if (
            threading.get_ident() == _MAIN
        ):  # Python runs handlers in the main thread, and only it may set them
            before = _signal.getsignal(_signal.SIGINT)
            if callable(before):
                self._before = before
                _signal.signal(_signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self._caught = (number, frame)

    def __exit__(self, *error: Any) -> None:
        if self._before is not None:
            _signal.signal(_signal.SIGINT, self._before)
            if self._caught is not None:
                self._before(*self._caught)
