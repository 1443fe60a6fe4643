"""What leads to a wanted tensor: only there a gradient is asked for, so only there hooks hear of it, as in torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .._segment._node import Gone


class Reach:
    """The way to some wanted tensors, through the graph of nodes.

    Args:
      wanted: the tensors.
      sought: id of a node -> slots of it that are wanted, with the tensors.
    """

    def __init__(self, wanted: Sequence[Any], sought: dict[int, dict[int, Any]]) -> None:
        self._wanted = {id(w) for w in wanted}
        self._sought = sought
        self._dead: set[tuple[int, int]] = set()  # nodes and outputs that lead nowhere

    def passes(self, node: Any, slot: int) -> bool:
        """Whether the gradient of a slot of a node goes on to a wanted tensor, or is that of one."""
        return self._from(self._on(node, node.program.flows[slot]))

    def leads(self, mask: int, links: dict[int, Any], sought: Iterable[int]) -> bool:
        """The same for what is still recorded: the slots that a gradient flows through, where those of sources go, and
        the wanted slots."""
        here = any(mask >> slot & 1 for slot in sought)
        return here or self._from([link for slot, link in links.items() if mask >> slot & 1])

    def _on(self, node: Any, mask: int) -> list[Any] | None:
        """Where a gradient goes from the slots of a node that it flows through; None where one of them is wanted."""
        if any(mask >> slot & 1 for slot in self._sought.get(id(node), ())):
            return None
        # A node that was freed has no links.
        return [k for t, k in zip(node.program.targets, node.links, strict=False) if mask >> t & 1]

    def _from(self, waiting: list[Any] | None) -> bool:
        if waiting is None:
            return True
        seen: set[tuple[int, int]] = set()
        while waiting:
            link = waiting.pop()
            if not isinstance(link, tuple):
                if id(link) in self._wanted:
                    return True
                continue
            node, k = link
            if (id(node), k) in seen or (id(node), k) in self._dead:
                continue
            seen.add((id(node), k))
            if isinstance(node, Gone):
                if k in self._sought.get(id(node), ()):
                    return True
                continue
            more = self._on(node, node.program.flows[node.program.roots[k]])
            if more is None:
                return True
            waiting += more
        self._dead |= seen
        return False
