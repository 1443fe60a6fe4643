"""no_grad and enable_grad."""

from __future__ import annotations

import contextlib
import functools
import inspect
from threading import get_ident
from typing import Any

from .._path._trace import local
from .._segment._flush import flush


class _Mode(contextlib.ContextDecorator):
    _mode: bool
    _before: dict[int, list[bool]]  # the modes that each thread goes back to

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        made._before = {}
        return made if function is None else made(function)  # `@no_grad` is `@no_grad()`

    def _recreate_cm(self) -> _Mode:
        return type(self)()

    def __call__(self, function: Any) -> Any:
        return (
            _generator(type(self), function)
            if inspect.isgeneratorfunction(function)
            else super().__call__(function)
        )

    def __enter__(self) -> _Mode:
        trace = local.trace
        self._before.setdefault(get_ident(), []).append(trace.mode)
        trace.set_mode(self._mode)
        return self

    def __exit__(self, *error: object) -> None:
        trace = local.trace
        modes = self._before[get_ident()]
        before = modes.pop()
        if not modes:
            del self._before[get_ident()]
        try:
            if before and trace.wrote and error[0] is None:
                flush(trace)  # an update ends here, so that what follows it is the same program at every step
        finally:
            trace.set_mode(before)


def _generator(mode: Any, function: Any) -> Any:
    """A generator that runs in a mode, and gives the caller's back while it waits."""

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        inner = function(*args, **kwargs)
        resume, given = inner.send, None
        while True:
            try:
                with mode():
                    made = resume(given)
            except StopIteration as end:
                return end.value
            try:
                resume, given = inner.send, (yield made)
            except GeneratorExit:
                with mode():
                    inner.close()
                raise
            except BaseException as error:
                resume, given = inner.throw, error

    return generator


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
