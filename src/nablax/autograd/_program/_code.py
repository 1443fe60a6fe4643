"""A line as one list of calls: the kernels of its operations, one after the other, on one list of values."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import numpy as np

from .._ground._aval import Aval
from .._ground._quiet import quietly
from .._operation._kernel import entering
from .._operation._numpy import perform
from ._compose import Source, foreign, handed_text
from ._line import Line, Op

BIG = 4096  # elements from which on a value is dropped when nothing more reads it


class Code:
    """Operations of a line, ready to run.

    Args:
      line: the line.
      ops: those of its operations that are to run.
      keep: slots that will be read afterwards; None for all of the line.
    """

    def __init__(self, line: Line, ops: Sequence[Op], keep: Iterable[int] | None) -> None:
        self._inputs = [(slot, line.avals[slot]) for slot in line.inputs]
        self._avals = line.avals
        self.slots = len(line.avals)
        self.template: list[Any] = [None] * self.slots
        self.bytes = 0  # of constants
        for slot, value in line.constants.items():
            self.template[slot] = value
            self.bytes += value.nbytes
        self._sizes = [aval.size for aval in line.avals]
        self._rows: list[tuple] = []
        self._inner = 0  # elements of results that need no slot besides their own
        self._same: dict[int, int] = {}  # slots that hold what another holds
        for op in ops:
            self._write(op)
        self.calls, self.elements = len(self._rows), sum(self._sizes) + self._inner
        kept = range(self.slots) if keep is None else set(keep)
        self._moves = [(slot, source) for slot, source in self._same.items() if slot in kept]
        self._pieces = self._cut(kept)

    def _write(self, op: Op) -> None:
        same = self._same
        args = [same.get(a, a) for a in op.args] if same else op.args
        outs = op.outs + op.extras if op.extras else op.outs
        if op.typed is None:
            same[outs[0]] = args[0]
            return
        kernel = op.typed.kernel(op.joint)
        size = kernel.size
        if kernel.outs == [size] and len(kernel.rest) == 1 == len(kernel.code):  # one call, one result
            function, a, b, out = kernel.code[0]
            a = tuple([args[i] for i in a]) if b == -2 else args[a]
            self._rows.append(
                (function, a, args[b] if b >= 0 else b, outs[0] if out.__class__ is int else outs)
            )
            self._inner += kernel.sizes[0]
            return
        start = len(self.template)
        self.template += kernel.rest
        for value in kernel.constants.values():
            if isinstance(value, np.ndarray):
                self.bytes += value.nbytes
        self._sizes += kernel.sizes
        place = [*args, *range(start, start + len(kernel.rest))]
        known = set(kernel.constants)
        for slot, s in zip(outs, kernel.outs, strict=True):
            if s < size or s in known:
                same[slot] = place[s]  # an argument, a constant, or the same result again
            else:
                known.add(s)
                place[s] = slot
        for function, a, b, out in kernel.code:
            a = tuple([place[i] for i in a]) if b == -2 else place[a]
            b = place[b] if b >= 0 else b
            out = place[out] if out.__class__ is int else tuple([place[i] for i in out])
            self._rows.append((function, a, b, out))

    def _cut(self, kept: Container[int]) -> list[tuple[list[tuple], list[int]]]:
        """The rows in pieces, each with the big values that nothing reads after it."""
        if max(self._sizes, default=0) < BIG:
            return [(self._rows, [])]
        moved = {source for _, source in self._moves}
        big = {
            slot
            for slot, size in enumerate(self._sizes)
            if size >= BIG and slot not in kept and slot not in moved
        }
        if not big:
            return [(self._rows, [])]
        last: dict[int, int] = {}
        for n, (_, a, b, out) in enumerate(self._rows):
            touched = (
                *(a if b == -2 else (a,)),
                *((b,) if b >= 0 else ()),
                *(out if isinstance(out, tuple) else (out,)),
            )
            for slot in touched:
                if slot in big:
                    last[slot] = n
        ends: dict[int, list[int]] = {}
        for slot, n in last.items():
            ends.setdefault(n, []).append(slot)
        pieces, start = [], 0
        for n in sorted(ends):
            pieces.append((self._rows[start : n + 1], ends[n]))
            start = n + 1
        return [*pieces, (self._rows[start:], [])]

    def environment(self, values: Sequence[Any]) -> list[Any]:
        """The values at the start."""
        env = self.template[:]
        for (slot, aval), value in zip(self._inputs, values, strict=True):
            env[slot] = entering(value, aval)
        return env

    def entering(self, values: Sequence[Any]) -> list[Any]:
        """Values as kernels take them."""
        return [entering(value, aval) for (_, aval), value in zip(self._inputs, values, strict=True)]

    def run(self, env: list[Any]) -> None:
        """Compute what the operations make."""
        quietly(self._perform, env)
        for slot, source in self._moves:
            env[slot] = env[source]

    def _perform(self, env: list[Any]) -> None:
        for rows, dead in self._pieces:
            perform(rows, env)
            for slot in dead:
                env[slot] = None

    def written(self, results: Sequence[int], through: bool) -> Callable[..., Any] | None:
        """All of it as one function of the values that enter: results and residual as `Forward.forward` returns them,
        or None where a value is not NumPy's. None where not all of it is NumPy's.

        results: slots.  through: whether it will be pulled through.
        """
        if foreign(self._rows):
            return None
        source = self._source()
        source.take("values", self._inputs)
        kept = [*results, *(range(self.slots) if through else ())]
        source.rows(self._rows, self._sizes, {self._same.get(slot, slot) for slot in kept})
        env = ", ".join(self._names(source, range(self.slots)))
        residual = f'("env", [{env}])' if through else "None"
        return source.function("values", f"[{self._results(source, results)}], {residual}")

    def written_back(
        self, given: Sequence[tuple[int, Aval]], results: Sequence[int], before: int
    ) -> Callable[..., Any] | None:
        """The same as a function of an environment, of which the first `before` slots are read, and of values for
        the slots `given`."""
        if foreign(self._rows):
            return None
        source = self._source()
        source.take("cts", given)
        read = {slot for _, a, b, _ in self._rows for slot in (a if b == -2 else (a,) if b == -1 else (a, b))}
        read.update(self._same.get(slot, slot) for slot in results)
        source.read("env", sorted(slot for slot in read if slot < before))
        source.rows(
            self._rows, self._sizes, {*range(before), *[self._same.get(slot, slot) for slot in results]}
        )
        return source.function("env, cts", f"[{self._results(source, results)}]")

    def _source(self) -> Source:
        constants = {slot: value for slot, value in enumerate(self.template) if value is not None}
        return Source(constants, self._avals)

    def _names(self, source: Source, slots: Iterable[int]) -> list[str]:
        return [source.name(self._same.get(slot, slot)) for slot in slots]

    def _results(self, source: Source, slots: Sequence[int]) -> str:
        names = zip(self._names(source, slots), slots, strict=True)
        return ", ".join([handed_text(name, self._avals[slot]) for name, slot in names])


def step(op: Op, env: list[Any]) -> None:
    """Compute what one operation makes."""
    outs = op.outs + op.extras
    args = [env[a] for a in op.args]
    if op.typed is not None:
        args = quietly(op.typed.kernel(op.joint), args)
    for slot, value in zip(outs, args, strict=True):
        env[slot] = value
