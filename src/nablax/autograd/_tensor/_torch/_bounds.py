"""Indices and classes that are not there.

What an index holds is looked at where it is known, in the call that gets it. What is only recorded, traced or on an
accelerator is not waited for; there an index beyond its axis gives NaN or the last element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..._ground._errors import RangeError, user_line
from ..._path._recorded import Recorded
from .._parts import inside, known

_ARRAYS = (Recorded, np.ndarray, jax.Array)


Within = tuple[str, Any, int, int | None, Any]
"""An argument's name and value; its elements lie in `low` to `size` - 1, None for anywhere above; the one element that
may lie elsewhere."""


def bounded(name: str, call: Callable[..., Any], of: Callable[..., Within | None]) -> Callable[..., Any]:
    """A function that refuses indices beyond their axis, where they are known; `of` takes its arguments, and
    gives None where there is nothing to look at."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            asked = of(*args, **kwargs)
        except (TypeError, AttributeError, IndexError):  # which the function itself answers
            return call(*args, **kwargs)
        if asked is not None:
            check(name, *asked)
        return call(*args, **kwargs)

    return checked


def check(who: str, word: str, values: Any, low: int, size: int | None, spared: Any = None) -> None:
    """Refuses an index that is not there, as far as it is known.

    Raises:
      RangeError: an element lies elsewhere.
    """
    there = known(values) if isinstance(values, _ARRAYS) else None
    if there is None or not there.size or there.dtype.kind not in "iu":
        return
    if low or size is None:
        if there.item(there.argmin()) >= low and (size is None or there.item(there.argmax()) < size):
            return
    elif inside(there, size):
        return
    wrong = there[(there < low) | (there >= (np.inf if size is None else size))]
    wrong = wrong if spared is None else wrong[wrong != spared]
    if wrong.size:
        allowed = f"be at least {low}" if size is None else f"lie in {low} to {size - 1}"
        raise RangeError(f"{who}: {word} must {allowed}, got {wrong.flat[0]}. At {user_line()}.")
