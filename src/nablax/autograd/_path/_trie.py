"""The trie of recordings: a recording is a path, and its key is where the path ends.

Each recorded operation is one edge from the current state. The key of an edge names the operation, its static
arguments and the states that produced its arguments; the next state knows the slot, the shape and dtype of the result
and whether it needs a gradient. Nothing is hashed or inferred again when a program repeats: one dictionary lookup an
operation, and the last state knows the programs of it.

A path is also a list of steps (see _steps.py). Sets of slots are integers, one bit a slot.
"""

from __future__ import annotations

from types import CodeType, MappingProxyType
from typing import Any

from .._ground._aval import Aval
from .._ground._errors import line_of, user_frame
from ._steps import Step

NONE: Any = MappingProxyType({})


class State:
    """A position in the trie, and at the same time the value that the edge into it made (its first result).

    slot, aval, needs: of that value.
    mask: slots that the value's gradient flows through, itself included; 0 without gradient.
    sources: all slots up to here where gradients end (inputs, leaves).  freed: slots whose graph was freed.
    mode: whether gradients are recorded.  size: slots so far.  weight: work so far, in elementary operations.
    outs, tree: all results and their structure, for operations with more than one.
    within, at: the user's code where it was recorded, and the instruction in it.
    programs: by the slots that are handed out.  literals: (operation, state, class) of numbers -> those that were met,
    or None where they vary.  Most states have none of either (NONE).
    """

    __slots__ = (
        "a", "at", "aval", "b", "code", "cut", "edges", "freed", "full", "guess", "habit", "key", "literals",
        "mask", "mode", "needs", "op", "outs", "parent", "programs", "size", "slot", "sources", "step", "targets",
        "trace", "tree", "weight", "within",
    )  # fmt: skip

    edges: dict[tuple, State]
    programs: dict[tuple, Any]
    outs: tuple[State, ...] | None
    tree: Any
    literals: dict[tuple, list | None]
    within: CodeType | None
    op: Any
    a: Any
    b: Any

    def __init__(self, trace: Any, parent: State | None, mode: bool) -> None:
        self.trace = trace
        self.parent = parent
        self.mode = mode
        self.step: Any = None  # a Step; None at a root, and where the mode changes
        self.edges = {}
        self.programs = self.literals = NONE
        self.outs = None
        self.tree = None
        self.targets: tuple[int, ...] = ()
        self.within = None
        self.at = 0
        self.slot = -1
        self.aval: Any = None
        self.needs = False
        self.mask = 0
        self.full = False
        self.key: tuple = ()
        # Of the edge that leads here, where it is that of an operator; or needs and aval, where a value enters.
        self.op = self.a = self.b = None
        self.guess: Any = None  # the state after the operation that came here last
        self.cut: State | None = None
        self.code: Any = None  # of a root, as its habit
        self.habit: Any = None
        if parent is None:
            self.size = self.weight = self.sources = self.freed = 0
        else:
            self.size, self.weight = parent.size, parent.weight
            self.sources, self.freed = parent.sources, parent.freed

    def result(self, aval: Aval, needs: bool, mask: int) -> State:
        """Give this state the next slot."""
        self.slot = self.size
        self.size += 1
        self.aval = aval
        self.needs = needs
        self.mask = mask | 1 << self.slot if needs else 0
        return self

    def keep(self, slots: tuple[int, ...], program: Any) -> None:
        """Remember a program of the recording that ends here."""
        if self.programs is NONE:
            self.programs = {}
        self.programs[slots] = program

    def note(self, group: tuple, met: list | None) -> None:
        """Remember which numbers of a group were met."""
        if self.literals is NONE:
            self.literals = {}
        self.literals[group] = met

    def path(self) -> list[State]:
        """The states from the start of the recording to here that hold a step."""
        found: list[State] = []
        state: State | None = self
        while state is not None:
            if state.step is not None:
                found.append(state)
            state = state.parent
        found.reverse()
        return found

    def steps(self) -> list[Step]:
        """The steps of the path."""
        return [state.step for state in self.path()]

    @property
    def made(self) -> tuple[State, ...]:
        """The states of the values that the step made; none where a function returns no arrays."""
        return (self,) if self.outs is None else self.outs

    @property
    def where(self) -> str:
        """The line where it was recorded."""
        return line_of(self.within, self.at)

    def here(self, depth: int) -> None:
        """It is recorded where the user's code is now, from `depth` frames up."""
        frame = user_frame(depth + 1)
        if frame is not None:
            self.within, self.at = frame.f_code, frame.f_lasti

    @property
    def label(self) -> str:
        """The name of the step that led here."""
        return "a mode" if self.step is None else self.step.label

    @property
    def reads(self) -> tuple[int, ...]:
        """The slots that this step reads."""
        return () if self.step is None else self.step.reads

    def inputs(self) -> list[State]:
        """Those of the path where a value enters."""
        return [state for state in self.path() if state.step.enters]


def bits(mask: int) -> list[int]:
    """The slots in a set, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
