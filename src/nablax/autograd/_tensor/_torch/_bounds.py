"""Indices and classes that are not there.

What an index holds is looked at where it is known, in the call that gets it: a batch of numbers costs two microseconds.
What is only recorded, traced or on an accelerator is not waited for; there an index beyond its axis gives NaN or the
last element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ..._ground._errors import RangeError, user_line
from ..._path._recorded import Recorded
from .._parts import known

_UNSIGNED = {np.dtype(f"i{n}"): np.dtype(f"u{n}") for n in (1, 2, 4, 8)}


class Within(NamedTuple):
    """word, values: an argument.  low, size: its elements lie in low to size - 1; size None: anywhere above.
    spared: the one element that may lie elsewhere.
    """

    word: str
    values: Any
    low: int
    size: int | None
    spared: Any = None


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
    there = known(values) if isinstance(values, Recorded | jax.Array | np.ndarray) else None
    if there is None or not there.size or there.dtype.kind not in "iu":
        return
    if (
        not low and size is not None and there.flags.c_contiguous
    ):  # a negative number is a large one without a sign
        if there.view(_UNSIGNED.get(there.dtype, there.dtype)).max() < size:
            return
    elif there.min() >= low and (size is None or there.max() < size):
        return
    wrong = there[(there < low) | (there >= (np.inf if size is None else size))]
    wrong = wrong if spared is None else wrong[wrong != spared]
    if wrong.size:
        allowed = f"be at least {low}" if size is None else f"lie in {low} to {size - 1}"
        raise RangeError(f"{who}: {word} must {allowed}, got {wrong.flat[0]}. At {user_line()}.")
