"""The tries of a thread: one for each line of the user's code that starts recordings, as many as are remembered."""

from __future__ import annotations

from collections.abc import Hashable

from .._ground._bounded import Bounded
from ._trie import State

MOST_STATES = 100_000  # of a thread; a program counts for as many as it has steps


class Tries:
    """Roots, and how much hangs on each."""

    def __init__(self) -> None:
        self._roots: Bounded = Bounded(MOST_STATES)
        self._grown: dict[State, int] = {}

    def get(self, key: Hashable) -> State | None:
        """The root under a key."""
        return self._roots.get(key)

    def add(self, key: Hashable, root: State) -> State:
        """Remember a root, and forget those not used for longest when all together have become too big."""
        total = sum(self._grown.values())
        while total > MOST_STATES and self._roots:
            _, old = self._roots.popitem(last=False)
            total -= self._grown.pop(old, 0)
        self._roots[key] = root
        self._grown[root] = 0
        return root

    def grow(self, root: State, size: int) -> None:
        """Count what was added to the trie of a root."""
        if root in self._grown:
            self._grown[root] += size

    def clear(self) -> None:
        """Forget all."""
        self._roots.clear()
        self._grown.clear()
