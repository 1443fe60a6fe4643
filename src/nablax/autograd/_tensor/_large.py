"""Integers of Python's that need 64 bits, where x64 is off: as elements of 32 bits they would be other numbers."""

from __future__ import annotations

import math
from typing import Any

from .._ground._aval import X64, Aval, is_large
from .._ground._errors import TooLargeError, user_line
from .._path._recorded import Recorded

_COMPARED = {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "lt", "le", "gt", "ge", "eq", "ne",
}  # fmt: skip
_QUOTIENTS = {"divide", "true_divide"}


def beside(name: str, number: int, aval: Aval) -> int | float:
    """What stands for a large number where the operation of this name meets elements of an aval.

    Floating elements and quotients are floating, and so is the number. To integers it compares as what is infinite.

    Raises:
      TooLargeError: the elements are integers, and the result would be.
    """
    if aval.inexact or name in _QUOTIENTS:
        return float(number)
    if aval.dtype == "uint32" and 0 <= number < 1 << 32:
        return number
    if name in _COMPARED:
        return math.copysign(math.inf, number)
    raise too_large(name, number, aval.dtype)


def refitted(name: str, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """The arguments of a call, with what stands for large integers beside the tensors among them.

    Raises:
      TooLargeError: nothing does.
    """
    values = [*args, *kwargs.values()]
    if X64.value or not any(x.__class__ is int and is_large(x) for x in values):
        return args, kwargs
    avals = [x._aval for x in values if isinstance(x, Recorded)]
    if not avals:
        return args, kwargs
    aval = next((a for a in avals if a.inexact), avals[0])

    def fit(x: Any) -> Any:
        return beside(name, x, aval) if x.__class__ is int and is_large(x) else x

    return tuple(map(fit, args)), {word: fit(x) for word, x in kwargs.items()}


def too_large(name: str, number: Any, dtype: Any) -> TooLargeError:
    """The error of a number that does not fit."""
    return TooLargeError(
        f"{name}: {number} needs 64 bits, and x64 is off: elements are {dtype}. Make it floating, or set "
        f"jax_enable_x64. At {user_line()}."
    )
