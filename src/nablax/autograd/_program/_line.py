"""A recording as a straight line of operations: what the first tier runs.

Every gradient in it is spelled out: the textbook reverse sweep, with the pullback of each operation as one operation
more. The line is written once for a program; running it is a loop over kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._ground._aval import Aval
from .._operation._call import ALIKE, Typed, intern_call
from .._operation._joint import Joint
from .._operation._written import by
from .._operation._written._elementwise import converted
from .._path._steps import Apply, Gradient, Leaf, Step


class Op:
    """One operation: what it reads and makes, by slot.

    extras: slots of its residuals, when its pullback asked for them.  wants: arguments that carry gradients; empty
    where none is carried.  at: number of the step that it belongs to.  source: of a pullback, the operation itself.
    """

    __slots__ = ("args", "at", "extras", "joint", "outs", "source", "typed", "wants")

    def __init__(
        self,
        typed: Typed | None,
        args: tuple[int, ...],
        outs: tuple[int, ...],
        wants: tuple[int, ...],
        at: int,
    ) -> None:
        self.typed = typed  # None: the result is the argument itself
        self.args = args
        self.outs = outs
        self.wants = wants
        self.at = at
        self.joint: Joint | None = None
        self.extras: tuple[int, ...] = ()
        self.source: Op | None = None


class Line:
    """The operations of a recording; slots beyond those of the recording are for values in between.

    Args:
      steps: the recording.  typed: the operations that its steps apply, on their arguments, where these are known.
      avals, needs: of its slots, and which of them carry gradients.
      x64: whether it was recorded under x64.
      through: whether it will be pulled through later, so that residuals are to be kept.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        typed: Sequence[Any],
        avals: Sequence[Aval],
        needs: Sequence[bool],
        x64: bool,
        through: bool,
    ) -> None:
        self.avals = list(avals)
        self.needs = list(needs)
        self.x64 = x64
        self.ops: list[Op] = []
        self.inputs: list[int] = []
        self.constants: dict[int, np.ndarray] = {}
        self.roots: dict[int, tuple[int, ...]] = {}  # of the backward at a step
        self.again = True in [step.create for step in steps]
        self._typed = typed
        self._ones: dict[tuple, int] = {}
        self._sums: dict[Aval, Typed] = {}
        self._keeps = through
        slot = 0
        for at, step in enumerate(steps):
            step.write(self, slot, at)
            slot += step.width

    # -- steps: each has itself written by the method of its kind -----------------------------------------------------

    def enter(self, slot: int) -> None:
        self.inputs.append(slot)

    def leaf(self, step: Leaf, slot: int, at: int) -> None:
        self.ops.append(Op(None, (step.slot,), (slot,), (), at))

    def apply(self, step: Apply, slot: int, at: int) -> None:
        args, carrying, needs = step.args, step.needs, self.needs
        wants = tuple([i for i, a in enumerate(args) if needs[a]]) if True in carrying else ()
        outs = (slot,) if len(carrying) == 1 else tuple(range(slot, slot + len(carrying)))
        typed = self._typed[at]
        if typed is None:
            typed = step.call.on(tuple([self.avals[a] for a in args]), self.x64)
        op = Op(typed, args, outs, wants, at)
        self.ops.append(op)
        if self._keeps and wants and not self.again:
            self._residuals(op)

    def gradient(self, step: Gradient, slot: int, at: int) -> None:
        self.roots[at] = step.roots
        given: dict[int, int] = {}
        for root, ct in zip(step.roots, step.cotangents, strict=True):
            ct = self._one(self.avals[root], 1) if ct < 0 else self._cast(ct, self.avals[root], at)
            given[root] = self._add(given[root], ct, at) if root in given else ct
        for k, grad in enumerate(self.pull(given, step.targets, (), at, step.create)):
            wants = (0,) if self.needs[slot + k] and self.needs[grad] else ()
            self.ops.append(Op(None, (grad,), (slot + k,), wants, at))

    # -- operations in between ----------------------------------------------------------------------------------------

    def _new(self, aval: Aval, needs: bool = False) -> int:
        self.avals.append(aval)
        self.needs.append(needs)
        return len(self.avals) - 1

    def _one(self, aval: Aval, value: int) -> int:
        """A constant: all ones, or all zeros."""
        slot = self._ones.get((aval, value))
        if slot is None:
            slot = self._ones[aval, value] = self._new(aval)
            self.constants[slot] = np.full(aval.shape, value, aval.dtype)
        return slot

    def _cast(self, slot: int, aval: Aval, at: int) -> int:
        if self.avals[slot].dtype == aval.dtype:
            return slot
        dtype = aval.dtype
        call = intern_call(
            ("cast", dtype),
            lambda: ("cast", by(lambda w, a: converted(w, a, dtype), lambda a: jnp.asarray(a, dtype)), ALIKE),
        )
        return self._apply(call.on((self.avals[slot],), self.x64), (slot,), at, True)[0]

    def _add(self, a: int, b: int, at: int, create: bool = False) -> int:
        aval = self.avals[a]
        typed = self._sums.get(aval)
        if typed is None:
            call = intern_call("add", lambda: ("add", jnp.add, ALIKE))
            typed = self._sums[aval] = call.on((aval, self.avals[b]), self.x64)
        return self._apply(typed, (a, b), at, create)[0]

    def _apply(
        self, typed: Typed, args: tuple[int, ...], at: int, create: bool, source: Op | None = None
    ) -> tuple[int, ...]:
        made, avals, needs = typed.avals, self.avals, self.needs
        wants = tuple([i for i, a in enumerate(args) if needs[a]]) if create else ()
        first = len(avals)
        avals += made
        if len(made) == 1:
            needs.append(made[0].inexact if wants else False)
            outs: tuple[int, ...] = (first,)
        else:
            needs += [aval.inexact for aval in made] if wants else [False] * len(made)
            outs = tuple(range(first, len(avals)))
        op = Op(typed, args, outs, wants, at)
        op.source = source
        self.ops.append(op)
        return outs

    def _residuals(self, op: Op) -> None:
        """Have an operation hand out what its pullback needs."""
        if op.joint is None and op.typed is not None and not op.typed.call.stubborn:
            self._hand_out(op, op.typed.joint(op.wants, False)[0])

    def _hand_out(self, op: Op, joint: Joint) -> None:
        op.joint = joint
        if joint.extra:
            op.extras = tuple([self._new(aval) for aval in joint.forward.out_avals[joint.results :]])

    def pull(
        self,
        given: dict[int, int],
        targets: Iterable[int],
        stops: Iterable[int] = (),
        at: int = -1,
        create: bool = False,
    ) -> list[int]:
        """Write the reverse sweep: the slots of the cotangents of `targets`, given those of some slots.

        Gradients go no further than `stops`.
        """
        cts = dict(given)
        needs = self.needs
        for op in self.ops[::-1]:
            wants = op.wants
            if not wants:
                continue
            outs = op.outs
            if len(outs) == 1:
                (out,) = outs
                if out not in cts or not needs[out] or out in stops:
                    continue
                known: Sequence[int] = (0,)
            else:
                known = [k for k, out in enumerate(outs) if out in cts and needs[out] and out not in stops]
                if not known:
                    continue
            for i, grad in zip(wants, self._through(op, known, cts, at, create), strict=True):
                slot = op.args[i]
                cts[slot] = self._add(cts[slot], grad, at, create) if slot in cts else grad
        return [cts[t] if t in cts else self._one(self.avals[t], 0) for t in targets]

    def _through(
        self, op: Op, known: Sequence[int], cts: dict[int, int], at: int, create: bool
    ) -> Sequence[int]:
        if op.typed is None:
            return [cts[op.outs[0]]]
        joint, typed = op.typed.joint(op.wants, self.again)
        if op.joint is None and not self.again:
            self._hand_out(op, joint)
        outs = op.outs
        values = op.args + outs + op.extras
        reads = [values[r] for r in joint.reads]
        for k in joint.given:
            reads.append(cts[outs[k]] if k in known else self._one(self.avals[outs[k]], 0))
        return self._apply(typed, tuple(reads), at, create, op)
