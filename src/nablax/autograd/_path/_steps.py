"""Steps: what a path consists of. A list of steps is what is replayed, and what identifies a program in all threads.

Every step takes the next slots for its results, and says of itself what `Kind` lists; nobody else asks of which kind it
is. A step is a tuple, for its hash is a part of a program's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import jax

from .._ground._aval import Aval
from .._operation._call import Call


class Kind:
    """What a step says of itself.

    enters: whether its value comes from outside.  is_leaf: whether gradients end there.  pulls: whether it pulls
    gradients back, so that it is replayed together with all that comes before it.
    label: its name in drawings and messages.
    width: how many slots it fills.  reads: the slots that it reads.  call: the operation that it applies, or None.
    may_fail: whether it calls back into Python.  donate: the slot whose buffer its result may reuse, or -1.
    create: whether its gradients carry gradients.
    """

    __slots__ = ()
    enters: ClassVar[bool] = False
    is_leaf: ClassVar[bool] = False
    pulls: ClassVar[bool] = False
    label: Any = ""
    width: Any = 1
    reads: Any = ()
    call: Any = None
    may_fail: Any = False
    donate: Any = -1
    create: Any = False

    def replay(self, env: Sequence[Any], entering: Iterator[Any]) -> list[Any]:
        """Its results, from the values so far and the values that enter."""
        raise NotImplementedError

    def write(self, line: Any, slot: int, at: int) -> None:
        """Have a `Line` (_program/_line.py) write it, number `at` of its path, with results from `slot` on."""
        raise NotImplementedError

    def record_again(self, tail: Any, old: Any) -> None:
        """Have a `Tail` (_segment/_tail.py) record it, the step of the state `old`, in another recording."""
        raise NotImplementedError


class _Input(NamedTuple):
    aval: Aval
    needs: bool


class Input(_Input, Kind):
    """A value that enters the segment from outside."""

    __slots__ = ()
    enters = True
    label = "input"

    def replay(self, env: Sequence[Any], entering: Iterator[Any]) -> list[Any]:
        return [next(entering)]

    def write(self, line: Any, slot: int, at: int) -> None:
        line.enter(slot)

    def record_again(self, tail: Any, old: Any) -> None:
        tail.enter(old)


class _Apply(NamedTuple):
    call: Call
    args: tuple[int, ...]
    sever: bool
    needs: tuple[bool, ...]
    donate: int = -1


class Apply(_Apply, Kind):
    """`call` applied to the values in slots `args`; its results take the next slots.

    `sever` cuts gradients (detach, no_grad); `needs` tells for each result whether it carries one; `donate` marks an
    argument slot whose buffer the result may reuse.
    """

    __slots__ = ()

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

    def write(self, line: Any, slot: int, at: int) -> None:
        line.apply(self, slot, at)

    def record_again(self, tail: Any, old: Any) -> None:
        tail.apply(self, old)


class _Leaf(NamedTuple):
    slot: int
    aval: Aval


class Leaf(_Leaf, Kind):
    """The value in `slot` again, as a variable of its own: a leaf that was updated in place under no_grad()."""

    __slots__ = ()
    is_leaf = True
    label = "leaf"

    @property
    def reads(self) -> tuple[int, ...]:
        return (self.slot,)

    def replay(self, env: Sequence[Any], entering: Iterator[Any]) -> list[Any]:
        return [severed(env[self.slot])]

    def write(self, line: Any, slot: int, at: int) -> None:
        line.leaf(self, slot, at)

    def record_again(self, tail: Any, old: Any) -> None:
        tail.leaf(self, old)


class _Gradient(NamedTuple):
    roots: tuple[int, ...]
    cotangents: tuple[int, ...]  # slots; -1 stands for one
    targets: tuple[int, ...]
    avals: tuple[Aval, ...]  # of the targets
    create: bool


class Gradient(_Gradient, Kind):
    """Pull cotangents of `roots` back to `targets`; the results take the next slots, one for each target.

    It is replayed together with all that comes before it, as its pullback (see _program/_replay.py); a recording that
    holds one is not cut.
    """

    __slots__ = ()
    pulls = True
    label = "backward"

    @property
    def width(self) -> int:
        return len(self.targets)

    @property
    def reads(self) -> tuple[int, ...]:
        return (*self.roots, *[ct for ct in self.cotangents if ct >= 0])

    def write(self, line: Any, slot: int, at: int) -> None:
        line.gradient(self, slot, at)


Step = Input | Apply | Leaf | Gradient


def severed(value: Any) -> Any:
    """A value through which no gradient flows."""
    return jax.lax.stop_gradient(value)


def inputs(steps: Sequence[Step]) -> list[int]:
    """The slots of the values that enter."""
    found, slot = [], 0
    for step in steps:
        if step.enters:
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
