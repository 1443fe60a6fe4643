"""The tries of a thread: one for each line of the user's code that starts recordings, as many as are remembered."""

from __future__ import annotations

from collections.abc import Hashable

from .._ground._bounded import Bounded
from ._trie import State

MOST_STATES = 50_000  # of a thread, with the other names that edges have


class Tries:
    """Roots, and how much hangs on each."""

    def __init__(self) -> None:
        self._roots: Bounded = Bounded(MOST_STATES)
        self._grown: dict[State, int] = {}
        self.size = 0  # of all together

    def get(self, key: Hashable) -> State | None:
        """The root under a key. Those not used for longest are forgotten when all together have become too big."""
        while self.size > MOST_STATES and self._roots:
            _, old = self._roots.popitem(last=False)
            self.size -= self._grown.pop(old, 0)
        return self._roots.get(key)

    def add(self, key: Hashable, root: State) -> State:
        """Remember a root."""
        self._roots[key] = root
        self._grown[root] = 0
        return root

    def grow(self, root: State, size: int) -> None:
        """Count what was added to the trie of a root."""
        if root in self._grown:
            self._grown[root] += size
            self.size += size

    def shrink(self, root: State) -> None:
        """Count that the trie of a root has gone."""
        if root in self._grown:
            self.size -= self._grown[root]
            self._grown[root] = 0

    def clear(self) -> None:
        """Forget all."""
        self._roots.clear()
        self._grown.clear()
        self.size = 0
