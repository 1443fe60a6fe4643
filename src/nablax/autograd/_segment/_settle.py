"""After a segment ran: its results get their values, and those that carry gradients their place in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from .._path._trie import State
from .._program._program import Program
from ._node import Freed, Node


def settle(
    program: Program,
    end: State,
    alive: list[Any],
    values: list[Any],
    links: dict,
    results: Sequence[Any],
    residual: Any,
    watched: dict[int, Any],
    settings: Any,
) -> None:
    """Give tensors their values, and those that carry gradients their place in the graph."""
    node: Any = None
    if program.targets:
        node = Node(program, end, values, residual, tuple([links[slot] for slot in program.targets]))
        if watched:
            node.watched = watched
        node.settings = settings
    for tensor, value, (aval, output, _) in zip(alive, results, program.kinds, strict=True):
        tensor._v = value
        tensor._a = aval
        if output is None:
            tensor._n = None
        elif output >= 0:
            tensor._n = node
            tensor._k = output
            node.outs.append(ref(tensor))
        else:
            tensor._n = Freed(tensor._s)
            tensor._k = 0
        tensor._s = None
