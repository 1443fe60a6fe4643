"""A dictionary that forgets what was not asked for longest."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any

_get = OrderedDict.get


class Bounded(OrderedDict):
    """At most `most` entries; a new one beyond takes the place of the least recently used.

    Only `get` counts as use, and only in a dictionary that is half full: before, nothing is going to be forgotten soon.
    Threads may share it.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def get(self, key: Any, default: Any = None) -> Any:
        found = _get(self, key, default)
        if found is not default and 2 * len(self) >= self.most:
            with contextlib.suppress(KeyError):  # another thread put it out just now
                self.move_to_end(key)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > self.most:
            try:
                self.popitem(last=False)
            except KeyError:
                break
