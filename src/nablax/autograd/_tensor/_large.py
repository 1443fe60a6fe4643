"""Integers of Python's that need 64 bits, where x64 is off: as elements of 32 bits they would be other numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._ground._aval import WIDE, X64, Aval
from .._ground._narrow import is_large, too_large
from .._path._recorded import Recorded

_COMPARED = {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "lt", "le", "gt", "ge", "eq", "ne",
}  # fmt: skip
_QUOTIENTS = {"divide", "true_divide", "div"}


def beside(name: str, number: int, aval: Aval) -> Any:
    """What stands for a large number where the operation of this name meets elements of an aval.

    Floating elements and quotients are floating, and so is the number. To integers it compares as what is infinite.

    Raises:
      TooLargeError: the elements are integers, and the result would be.
    """
    if aval.inexact or name in _QUOTIENTS:
        return _floating(number)
    if aval.dtype == "uint32" and 0 <= number < 1 << 32:
        return np.uint32(number)
    if name in _COMPARED:
        return math.inf if number > 0 else -math.inf
    raise too_large(name, number, aval.dtype)


def _floating(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def refitted(name: str, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """The arguments of a call, with what stands for large integers beside the tensors among them.

    Raises:
      TooLargeError: nothing does.
    """
    values = [*args, *kwargs.values()]
    if X64.value or not any(x.__class__ is int and is_large(x) for x in values):
        return args, kwargs
    avals = [x._aval for x in values if isinstance(x, Recorded)]
    if not avals or any(aval.dtype in WIDE for aval in avals):
        return args, kwargs
    aval = next((a for a in avals if a.inexact), avals[0])
    if kwargs.get("rounding_mode") is not None:
        name = "floor_divide"

    def fit(place: Any, x: Any) -> Any:
        if x.__class__ is not int or not is_large(x):
            return x
        if name in ("clamp", "clip") and not aval.inexact and place in ((2, "max") if x > 0 else (1, "min")):
            ends = np.iinfo(aval.dtype)  # nothing is beyond them
            return int(ends.max if x > 0 else ends.min)
        return beside(name, x, aval)

    return tuple([fit(k, x) for k, x in enumerate(args)]), {word: fit(word, x) for word, x in kwargs.items()}
