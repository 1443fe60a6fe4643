"""A recording with a choice of results: what enters, what is handed out, and where gradients flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._ground._bounded import Bounded
from .._path._steps import Step, inputs
from .._path._trie import State, bits

# Below both, backward computes the forward again instead of reading residuals.
TINY_WORK, TINY_SIZE = 32, 16_384
MOST_WANTS = 256  # sets of outputs


class Outline:
    """A recording and the slots it hands out.

    kinds: for each result its aval, its output number in the graph (None without gradient, -1 if freed), and whether it
    is a leaf.
    roots: slots of the results that carry gradients; masks: their ancestors.  flows: for each slot, the slots that
    its gradient flows through.
    targets: the sources (inputs and leaves) that those gradients reach.
    typed: for each step the operation on its arguments, where that was found just now.
    """

    def __init__(self, state: State, path: Sequence[State], slots: tuple[int, ...]) -> None:
        self.steps: list[Step] = [s.step for s in path]
        fresh = state.trace.fresh
        self.typed: list[Any] = [fresh.get(s) for s in path]
        self.slots = slots
        values: list[State] = []
        weight, before = 0, path[0].weight if path else 0
        for s in path:
            if s.outs is None:
                values.append(s)
            else:
                values += s.outs
            if s.weight > before:
                weight += s.weight - before
            before = s.weight
        self.avals = [v.aval for v in values]
        self.needs = [v.needs for v in values]
        self.x64 = state.trace.x64
        kinds = []
        self.roots: list[int] = []
        self.masks: list[int] = []
        self.reach: list[int] = []
        self.flows = [v.mask for v in values]
        reached = 0
        for slot in slots:
            value = values[slot]
            leaf = value.step.is_leaf
            output = None
            if value.needs and not leaf:
                output = -1
                if not value.mask & state.freed:
                    output = len(self.roots)
                    self.roots.append(slot)
                    self.masks.append(value.mask & ~state.sources)
                    self.reach.append(value.mask & state.sources)
                    reached |= self.reach[-1]
            kinds.append((value.aval, output, leaf))
        self.kinds = tuple(kinds)
        self.targets = tuple(bits(reached))
        self.weight = weight
        self.inputs = inputs(self.steps)
        self.may_fail = True in [step.may_fail for step in self.steps]
        self.donates = [] if self.targets else self._donated()
        self.tiny = self._is_tiny()
        self._wants: Bounded = Bounded(MOST_WANTS)

    def _donated(self) -> list[int]:
        if self.may_fail:
            return []  # a buffer given to a program that fails is gone
        marked = {step.donate for step in self.steps}
        return [i for i, slot in enumerate(self.inputs) if slot in marked]

    def _is_tiny(self) -> bool:
        """Whether computing it again costs less than handing out residuals."""
        if self.may_fail:
            return False  # what Python is asked once is not asked again
        return self.weight <= TINY_WORK and sum([a.size for a in self.avals]) <= TINY_SIZE

    def reaches(self, outputs: Sequence[int], i: int) -> bool:
        """Whether the gradient of one of these outputs flows to target number i."""
        return any(self.reach[k] >> self.targets[i] & 1 for k in outputs)

    def wants(self, outputs: tuple[int, ...]) -> tuple[int, ...]:
        """The targets that the gradients of these outputs flow to, by number."""
        found = self._wants.get(outputs)
        if found is None:
            found = self._wants[outputs] = tuple(
                i for i in range(len(self.targets)) if self.reaches(outputs, i)
            )
        return found
