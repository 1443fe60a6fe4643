"""NumPy without warnings of floating point: what is infinite or no number is a value here, as it is JAX's.

`np.errstate` makes the same object each time, which costs as much as three operations on small arrays. It says what it
does in a context variable, which is found here once, and set. What was set before is read first, and put back by a
`finally` that begins before anything changes: Ctrl-C, wherever it falls, leaves the user's setting as it was.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np


def _found() -> tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any]]:
    before = contextvars.copy_context()
    with np.errstate(all="ignore"):
        inside = contextvars.copy_context()
    changed = [(var, value) for var, value in inside.items() if before.get(var) is not value]
    if len(changed) == 1:
        ((var, value),) = changed
        try:
            var.get()
        except LookupError:  # nothing is set, and that cannot be put back
            pass
        else:
            return var.get, partial(var.set, value), var.set
    return np.geterr, partial(np.seterr, all="ignore"), lambda before: np.seterr(**before)


# What is set; to have no warnings; to put back what was set.
heard, hush, restore = _found()


def quietly(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function without such warnings."""
    before = heard()
    try:
        hush()
        return function(*args)
    finally:
        restore(before)
