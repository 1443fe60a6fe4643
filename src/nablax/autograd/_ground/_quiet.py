"""NumPy without warnings of floating point: what is infinite or no number is a value here, as it is JAX's.

`np.errstate` makes the same object each time, which costs as much as three operations on small arrays. It says what it
does in a context variable, which is found here once, and set.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np


def _found() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    before = contextvars.copy_context()
    with np.errstate(all="ignore"):
        inside = contextvars.copy_context()
    changed = [(var, value) for var, value in inside.items() if before.get(var) is not value]
    if len(changed) == 1:
        ((var, value),) = changed
        return partial(var.set, value), var.reset
    return _enter, _leave


def _enter() -> Any:
    state = np.errstate(all="ignore")
    state.__enter__()
    return state


def _leave(state: Any) -> None:
    state.__exit__(None, None, None)


hush, restore = _found()


class quiet:
    """A context without such warnings."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = hush()

    def __exit__(self, *error: object) -> None:
        restore(self._token)
