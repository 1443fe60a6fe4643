"""Ctrl-C, heard where nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heard_between_calls() -> Iterator[Callable[[], None]]:
    """Holds Ctrl-C back until the function it gives is called, which then raises KeyboardInterrupt.

    Raised in the midst of a compilation it could get lost in a callback. A second Ctrl-C is not held back.
    """
    heard = False

    def listen(signum: int, frame: Any) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = True

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where Python delivers no signals
        yield check
        return
    before = signal.signal(signal.SIGINT, listen)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
