"""no_grad and enable_grad."""

from __future__ import annotations

import contextlib
from typing import Any

from ._segment import flush
from ._trace import local


class _Mode(contextlib.ContextDecorator):
    _mode: bool
    _before: list[bool]

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        made._before = []
        return made if function is None else made(function)  # `@no_grad` is `@no_grad()`

    def __enter__(self) -> _Mode:
        trace = local.trace
        self._before.append(trace.mode)
        trace.set_mode(self._mode)
        return self

    def __exit__(self, *error: object) -> None:
        trace = local.trace
        before = self._before.pop()
        if before and trace.wrote and error[0] is None:
            flush(trace)  # an update ends here, so that what follows it is the same program at every step
        trace.set_mode(before)


class no_grad(_Mode):
    """Record no gradients: as a context, `with no_grad():`, or as a decorator, `@no_grad()`.

    >>> from nablax import autograd
    >>> x = autograd.tensor(2.0, requires_grad=True)
    >>> with autograd.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    _mode = False


class enable_grad(_Mode):
    """Record gradients again inside no_grad()."""

    _mode = True


def is_grad_enabled() -> bool:
    """Whether gradients are being recorded in this thread."""
    return local.trace.mode
