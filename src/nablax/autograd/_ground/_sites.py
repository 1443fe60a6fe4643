"""What varies: a number in the user's code that has had a second value becomes an input of the program.

A number that never changes is baked in, where XLA can fold it. The memory belongs to the line (to the very instruction)
of the user's code that uses the number, not to a recording: what was learned in one recording holds for all.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ._bounded import Bounded
from ._errors import user_frame

MOST = 16_384  # numbers remembered
_SITES: Bounded = Bounded(MOST)


class _Seen:
    __slots__ = ("code", "left", "value", "varies")

    def __init__(self, code: Any, value: Any, values: int) -> None:
        self.code = code  # alive, so that no other takes its id
        self.value = value
        self.left = values
        self.varies = False


def varies(key: Hashable, value: Any, values: int = 1) -> bool:
    """Whether the number `key` at the instruction of the user's code that runs now has had more than so many values.

    Args:
      key: tells several numbers of one instruction apart.
      value: the number now, in a form that tells it from others.
      values: how many are baked in.
    """
    frame = user_frame(2)
    if frame is None:
        return False
    place = (id(frame.f_code), frame.f_lasti, key)
    seen = _SITES.get(place)
    if seen is None:
        _SITES[place] = _Seen(frame.f_code, value, values)
        return False
    if not seen.varies and value != seen.value:
        seen.left -= 1
        seen.value = value
        seen.varies = seen.left <= 0
    return seen.varies


def clear_sites() -> None:
    """Forget what varied."""
    _SITES.clear()
