"""Nodes: what a segment leaves behind in the graph when its results carry gradients.

    tensor -> (node, output) -> links -> earlier nodes and leaves

References only go backwards in time, so dropping the last result frees its graph at once, without the collector.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ._errors import FailedError, GraphFreedError

_serial = itertools.count()


class Node:
    """One segment that ran.

    program: what ran.  state: where the recording ended.  values: its inputs.  residual: what its backward needs
    (see _program.py). links: for each of the program's targets, where its gradient goes: a leaf, or (node, output).
    freed: slots whose graph an earlier backward freed, one bit each.
    redirect: outputs that other nodes took over.
    hooks: functions of an output's gradient.  keep: outputs that keep their gradient (retain_grad).
    """

    freed = 0
    hooks: dict[int, list[Callable[..., Any]]] | None = None
    keep: dict[int, Any] | None = None
    redirect: dict[int, tuple[Any, int]] | None = None

    def __init__(self, program: Any, state: Any, values: list[Any], residual: Any, links: tuple) -> None:
        self.program = program
        self.state = state
        self.values: list[Any] | None = values
        self.residual = residual
        self.links = links
        self.serial = next(_serial)

    def check(self, outputs: Sequence[int], name: str | None = None) -> None:
        """Raise where the graph of one of these outputs was freed; `name` is that of the tensor asked for."""
        for k in outputs:
            if self.values is None or self.freed & self.program.masks[k]:
                Freed(self.where(k)).check(outputs, name)

    def where(self, k: int) -> str:
        """The line where an output was recorded."""
        return self.line(self.program.roots[k])

    def line(self, slot: int) -> str:
        """The line where the value of a slot was recorded."""
        return next(v.where for s in self.state.path() for v in s.outs or (s,) if v.slot == slot)

    def free(self, outputs: Sequence[int]) -> None:
        """Free the graph of these outputs; the values go when no other output needs them."""
        masks, freed = self.program.masks, self.freed
        for k in outputs:
            freed |= masks[k]
        self.freed = freed
        for mask in masks:
            if not freed & mask:
                return
        self.values = self.residual = None
        self.links = ()


def resolve(node: Any, k: int) -> tuple[Any, int]:
    """The node and output that took the place of an output (see _cut.separate)."""
    while getattr(node, "redirect", None):
        node, k = node.redirect[k]
    return node, k


class Gone:
    """Stands for the graph of a result that has none any more; `why` is what the error says."""

    __slots__ = ("why",)
    serial = -1
    hooks = keep = redirect = None

    def __init__(self, why: str) -> None:
        self.why = why

    def check(self, outputs: Sequence[int], name: str | None = None) -> None:
        raise self.error("backward: ", "the tensor" if name is None else f"tensor {name!r}")

    def error(self, speaker: str, who: str) -> Exception:
        raise NotImplementedError


class Freed(Gone):
    """Its graph was freed by the backward that its own segment held; `why` is the line where it was recorded."""

    __slots__ = ()

    def error(self, speaker: str, who: str) -> GraphFreedError:
        return GraphFreedError(
            f"{speaker}the graph of {who} recorded at {self.why} was freed by an earlier backward() or grad(). "
            "Pass retain_graph=True to the earlier call to go through it again."
        )


class Lost(Gone):
    """It could not be computed."""

    __slots__ = ()

    def error(self, speaker: str, who: str) -> FailedError:
        return FailedError(f"{speaker}{who} has no value: {self.why}.")
