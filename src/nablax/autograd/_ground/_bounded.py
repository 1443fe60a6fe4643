"""A dictionary that forgets what was not asked for longest."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

_GET, _MOVE = OrderedDict.get, OrderedDict.move_to_end


class Bounded(OrderedDict):
    """At most `most` entries; a new one beyond takes the place of the least recently used.

    Only `get` counts as use. Threads may share it.
    """

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def get(self, key: Any, default: Any = None) -> Any:
        found = _GET(self, key, default)
        if found is not default:
            try:  # noqa: SIM105 (suppress takes as long as all the rest)
                _MOVE(self, key)
            except KeyError:  # another thread put it out just now
                pass
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > self.most:
            try:
                self.popitem(last=False)
            except KeyError:
                break
