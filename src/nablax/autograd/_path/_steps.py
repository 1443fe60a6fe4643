"""Steps: what a path consists of. A list of steps is what is replayed, and what identifies a program in all threads.

Every step takes the next slots for its results, and says of itself:

    width       how many slots these are            reads       the slots that it reads
    label       its name in drawings and messages   may_fail    whether it calls back into Python
    donate      the slot whose buffer its result may reuse, or -1
    replay      its results, from the values so far and the values that enter
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from .._ground._aval import Aval
from .._operation._call import Call


class Input(NamedTuple):
    """A value that enters the segment from outside."""

    aval: Aval
    needs: bool

    @property
    def width(self) -> int:
        return 1

    @property
    def reads(self) -> tuple[int, ...]:
        return ()

    @property
    def label(self) -> str:
        return "input"

    @property
    def may_fail(self) -> bool:
        return False

    @property
    def donate(self) -> int:
        return -1

    def replay(self, env: Sequence[Any], entering: Iterator[Any]) -> list[Any]:
        return [next(entering)]


class Apply(NamedTuple):
    """`call` applied to the values in slots `args`; its results take the next slots.

    `sever` cuts gradients (detach, no_grad); `needs` tells for each result whether it carries one; `donate` marks an
    argument slot whose buffer the result may reuse.
    """

    call: Call
    args: tuple[int, ...]
    sever: bool
    needs: tuple[bool, ...]
    donate: int = -1

    @property
    def width(self) -> int:
        return len(self.needs)

    @property
    def reads(self) -> tuple[int, ...]:
        return self.args

    @property
    def label(self) -> str:
        return self.call.name

    @property
    def may_fail(self) -> bool:
        return self.call.may_fail

    def replay(self, env: Sequence[Any], entering: Iterator[Any]) -> list[Any]:
        results = self.call.flat(*[env[i] for i in self.args])
        return [*map(severed, results)] if self.sever else results


class Leaf(NamedTuple):
    """The value in `slot` again, as a variable of its own: a leaf that was updated in place under no_grad()."""

    slot: int
    aval: Aval

    @property
    def width(self) -> int:
        return 1

    @property
    def reads(self) -> tuple[int, ...]:
        return (self.slot,)

    @property
    def label(self) -> str:
        return "leaf"

    @property
    def may_fail(self) -> bool:
        return False

    @property
    def donate(self) -> int:
        return -1

    def replay(self, env: Sequence[Any], entering: Iterator[Any]) -> list[Any]:
        return [severed(env[self.slot])]


class Gradient(NamedTuple):
    """Pull cotangents of `roots` back to `targets`; the results take the next slots, one for each target.

    It is replayed together with all that comes before it, as its pullback (see _program/_replay.py).
    """

    roots: tuple[int, ...]
    cotangents: tuple[int, ...]  # slots; -1 stands for one
    targets: tuple[int, ...]
    avals: tuple[Aval, ...]  # of the targets
    create: bool

    @property
    def width(self) -> int:
        return len(self.targets)

    @property
    def reads(self) -> tuple[int, ...]:
        return (*self.roots, *[ct for ct in self.cotangents if ct >= 0])

    @property
    def label(self) -> str:
        return "backward"

    @property
    def may_fail(self) -> bool:
        return False

    @property
    def donate(self) -> int:
        return -1


Step = Input | Apply | Leaf | Gradient


def severed(value: Any) -> Any:
    """A value through which no gradient flows."""
    return jax.lax.stop_gradient(value)


def inputs(steps: Sequence[Step]) -> list[int]:
    """The slots of the values that enter."""
    found, slot = [], 0
    for step in steps:
        if isinstance(step, Input):
            found.append(slot)
        slot += step.width
    return found


def ancestors(steps: Sequence[Step], slot: int) -> set[int]:
    """The slots that a slot was computed from, itself included."""
    reads = [step.reads for step in steps for _ in range(step.width)]
    found: set[int] = set()
    waiting = [slot]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting.extend(reads[here])
    return found
