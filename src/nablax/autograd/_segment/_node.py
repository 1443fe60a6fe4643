"""Nodes: what a segment leaves behind in the graph when its results carry gradients.

    tensor -> (node, output) -> links -> earlier nodes and leaves

References only go backwards in time, so dropping the last result frees its graph at once, without the collector.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._ground._errors import FailedError, GraphFreedError, line_of

_serial = itertools.count()


class Watch:
    """Who wants to know the gradient of a slot.

    hooks: functions of it, each of which may replace it, by their handles.
    keep: weak references to tensors whose `.grad` it is added to (retain_grad).
    """

    __slots__ = ("hooks", "keep")

    def __init__(self) -> None:
        self.hooks: dict[Any, Callable[..., Any]] = {}
        self.keep: list[Callable[[], Any]] = []


class Node:
    """One segment that ran.

    program: what ran.  state: where the recording ended.  values: its inputs.  residual: what its backward needs
    (see `Forward.forward`).  links: for each target of the program, where its gradient goes: a leaf, or (node, output).
    freed: slots whose graph an earlier backward freed, one bit each.
    watched: slot -> who wants to know its gradient.
    outs: weak references to the tensors that are its outputs.
    settings: of JAX, under which it ran.
    """

    freed = 0
    watched: dict[int, Watch] | None = None
    settings: Any = None

    def __init__(self, program: Any, state: Any, values: list[Any], residual: Any, links: tuple) -> None:
        self.program = program
        self.state = state
        self.values: list[Any] | None = values
        self.residual = residual
        self.links = links
        self.serial = next(_serial)
        self.outs: list[Callable[[], Any]] = []

    def check(self, outputs: Sequence[int], name: str | None = None) -> None:
        """Raise where the graph of one of these outputs was freed; `name` is that of the tensor asked for."""
        for k in outputs:
            if self.is_freed(k):
                Freed(self.state_of(self.program.roots[k])).check(outputs, name)

    def is_freed(self, k: int) -> bool:
        """Whether the graph of an output was freed."""
        return self.values is None or bool(self.freed & self.program.masks[k])

    def where(self, k: int) -> str:
        """The line where an output was recorded."""
        return self.line(self.program.roots[k])

    def line(self, slot: int) -> str:
        """The line where the value of a slot was recorded."""
        return self.state_of(slot).where

    def state_of(self, slot: int) -> Any:
        """The state whose value a slot is."""
        return next(v for s in self.state.path() for v in s.made if v.slot == slot)

    def known(self, given: Iterable[int]) -> list[tuple[int, Any]]:
        """The slots that some others were computed from and whose tensors are still held, with these tensors."""
        reach, found = 0, []
        for slot in given:
            reach |= self.program.flows[slot] & ~(1 << slot)
        for k, ref in enumerate(self.outs):
            slot = self.program.roots[k]
            tensor = ref() if reach >> slot & 1 else None
            if tensor is not None and tensor._n is self and tensor._k == k and hasattr(tensor, "_v"):
                found.append((slot, tensor))
        return found

    def free(self, outputs: Sequence[int]) -> None:
        """Free the graph of these outputs; the values go when no other output needs them."""
        masks, freed = self.program.masks, self.freed
        for k in outputs:
            freed |= masks[k]
        self.freed = freed
        for mask in masks:
            if not freed & mask:
                return
        self.forget()

    def forget(self) -> None:
        """Free all of it."""
        self.values = self.residual = None
        self.links = ()


class Gone:
    """Stands for the graph of a result that has none any more; `why` is what the error says."""

    __slots__ = ("why",)
    serial = -1
    watched = residual = None

    def __init__(self, why: str) -> None:
        self.why = why

    def check(self, outputs: Sequence[int], name: str | None = None) -> None:
        raise self.error("backward: ", "the tensor" if name is None else f"tensor {name!r}")

    def error(self, speaker: str, who: str) -> Exception:
        raise NotImplementedError


class Freed(Gone):
    """Its graph was freed by the backward that its own segment held; `why` is the line where it was recorded."""

    __slots__ = ("_at", "_within")

    def __init__(self, state: Any) -> None:
        self._within, self._at = state.within, state.at

    @property
    def why(self) -> str:  # type: ignore[override]
        return line_of(self._within, self._at)

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
