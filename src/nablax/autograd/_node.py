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
                raise freed_error(self.where(k), name)

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


class Freed:
    """Stands for the graph of a result whose graph was freed by the backward that its own segment held."""

    __slots__ = ("where",)
    serial = -1
    hooks = keep = redirect = None

    def __init__(self, where: str) -> None:
        self.where = where

    def check(self, outputs: Sequence[int], name: str | None = None) -> None:
        raise freed_error(self.where, name)


class Lost:
    """Stands for the graph of a result that could not be computed; `what` says why."""

    __slots__ = ("what",)
    serial = -1
    hooks = keep = redirect = None

    def __init__(self, what: str) -> None:
        self.what = what

    def check(self, outputs: Sequence[int], name: str | None = None) -> None:
        who = "the tensor" if name is None else f"tensor {name!r}"
        raise FailedError(f"backward: {who} has no value: {self.what}.")


def freed_error(where: str, name: str | None = None) -> GraphFreedError:
    who = "the tensor" if name is None else f"tensor {name!r}"
    return GraphFreedError(
        f"backward: the graph of {who} recorded at {where} was freed by an earlier backward() or grad(). "
        "Pass retain_graph=True to the earlier call to go through it again."
    )
