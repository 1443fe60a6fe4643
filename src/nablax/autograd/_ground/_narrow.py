"""What needs 64 bits, where x64 is off: integers would become others, and are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._errors import TooLargeError, user_line
from ._quiet import quietly


def is_large(number: int) -> bool:
    """Whether an integer of 32 bits cannot be so large."""
    return not -(1 << 31) <= number < 1 << 31


def narrowed(name: str, value: np.ndarray, dtype: Any) -> np.ndarray:
    """An array in the dtype that it has without x64.

    Raises:
      TooLargeError: of `name`; an integer that does not fit.
    """
    if value.dtype == dtype:
        return value
    if value.dtype.kind in "iu" and value.size:
        known = np.iinfo(dtype)
        for x in (value.min(), value.max()):
            if not known.min <= x <= known.max:
                raise too_large(name, x, dtype)
    return quietly(value.astype, dtype)


def too_large(name: str, number: Any, dtype: Any) -> TooLargeError:
    """The error of a number that does not fit."""
    return TooLargeError(
        f"{name}: {number} needs 64 bits, and x64 is off: elements are {dtype}. Make it floating, or set "
        f"jax_enable_x64. At {user_line()}."
    )
