"""A line on stderr where a compilation keeps the caller waiting: silence of many seconds looks like a hang."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from .._ground._errors import user_line


class _Settings:
    after: float | None = 2.0  # seconds


_settings = _Settings()


class compile_notice:
    """Set after how many seconds of waiting for a compilation a line on stderr says so; as a context, only inside it.

    Args:
      seconds: 0 or more; None for no line. From the start, 2.

    Raises:
      ValueError: anything else.

    >>> from nablax import autograd
    >>> with autograd.compile_notice(None):
    ...     pass
    >>> autograd.compile_notice(2)
    compile_notice(2)
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and not (isinstance(seconds, int | float) and seconds >= 0):
            raise ValueError(f"compile_notice: seconds must be 0 or more, or None, got {seconds!r}.")
        self._now, self._before = seconds, _settings.after
        _settings.after = seconds

    def __enter__(self) -> compile_notice:
        return self

    def __exit__(self, *error: object) -> None:
        _settings.after = self._before

    def __repr__(self) -> str:
        return f"compile_notice({self._now!r})"


class Notice:
    """The line about one program, which is printed once, whichever of its parts is waited for.

    operations: how many the program has.
    """

    def __init__(self, operations: int) -> None:
        self.operations = operations
        self.said = False

    def during(self, call: Callable[..., Any], *args: Any) -> Any:
        """call(*args), which compiles or waits for the compiler."""
        after = _settings.after
        if after is None or self.said:
            return call(*args)
        timer = threading.Timer(after, self._say, (after, user_line()))
        timer.daemon = True
        timer.start()
        try:
            return call(*args)
        finally:
            timer.cancel()

    def first(self, program: Callable[..., Any]) -> Callable[..., Any]:
        """A program that is compiled when it is called, for its first call."""
        return functools.partial(self.during, program)

    def _say(self, after: float, line: str) -> None:
        self.said = True
        print(
            f"nablax.autograd: {line} has waited {after:g} s for a program of {self.operations} operations to be "
            "compiled, which happens once; see docs/autograd.md, or hide this by autograd.compile_notice(None).",
            file=sys.stderr,
            flush=True,
        )
