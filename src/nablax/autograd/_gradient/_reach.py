"""What leads to a wanted tensor: only there a gradient goes, and only there hooks hear of it, as in torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .._path._recorded import is_recorded
from .._segment._node import Gone, Node


class Reach:
    """The way to some wanted tensors, through the graph of nodes.

    sought: id of a node -> slots of it that are wanted, with the tensors.
    goes_on: whether a leaf is wanted, which may lie behind what has no links any more.
    """

    def __init__(self, wanted: Sequence[Any]) -> None:
        self._wanted = {id(w) for w in wanted}
        self.sought: dict[int, dict[int, Any]] = {}
        self.goes_on = any(w._r for w in wanted)
        self._first: float = -math.inf if self.goes_on else math.inf  # nodes before it lead nowhere
        self._known: dict[tuple[Any, int], bool] = {}  # links -> whether they lead there
        for w in wanted:
            if not w._r and not is_recorded(w):
                slot = w._n.program.roots[w._k] if isinstance(w._n, Node) else w._k
                self.sought.setdefault(id(w._n), {})[slot] = w
                self._first = min(self._first, w._n.serial)

    def leads(self, link: Any) -> bool:
        """Whether a gradient that is sent there arrives at a wanted tensor, or where the graph is gone before one."""
        if link.__class__ is not tuple:
            return id(link) in self._wanted
        found = self._known.get(link)
        return self._search(link) if found is None else found

    def passes(self, node: Any, slot: int) -> bool:
        """Whether the gradient of a slot of a node goes on to a wanted tensor, or is that of one."""
        beyond = self._on(node, node.program.flows[slot])
        return beyond is None or any(map(self.leads, beyond))

    def records(self, mask: int, links: dict[int, Any], sought: Iterable[int]) -> bool:
        """The same for what is still recorded: the slots that a gradient flows through, where those of sources go, and
        the wanted slots."""
        here = any(mask >> slot & 1 for slot in sought)
        return here or any(self.leads(link) for slot, link in links.items() if mask >> slot & 1)

    def _search(self, start: tuple[Any, int]) -> bool:
        """Depth first; each link is followed once for all questions."""
        known, wanted = self._known, self._wanted
        known[start] = False
        path, waiting = [start], [self._beyond(start)]
        while path:
            beyond = waiting[-1]
            if not beyond:
                if beyond is None:
                    break
                path.pop()
                waiting.pop()
                continue
            link = beyond.pop()
            if link.__class__ is not tuple:
                if id(link) in wanted:
                    break
                continue
            found = known.get(link)
            if found is None:
                known[link] = False
                path.append(link)
                waiting.append(self._beyond(link))
            elif found:
                break
        for link in path:
            known[link] = True
        return bool(path)

    def _beyond(self, link: tuple[Any, int]) -> list[Any] | None:
        """Where a gradient goes on from an output of a node; None where it has arrived."""
        node, k = link
        if node.serial < self._first:
            return []
        if isinstance(node, Gone):
            return None if self.goes_on or k in self.sought.get(id(node), ()) else []
        if node.is_freed(k):
            return None
        return self._on(node, node.program.flows[node.program.roots[k]])

    def _on(self, node: Any, mask: int) -> list[Any] | None:
        """The same from the slots that a gradient flows through."""
        if self.sought and any(mask >> slot & 1 for slot in self.sought.get(id(node), ())):
            return None
        targets, links = node.program.targets, node.links
        if len(targets) == 1:
            return list(links) if mask >> targets[0] & 1 else []
        return [link for t, link in zip(targets, links, strict=True) if mask >> t & 1]
