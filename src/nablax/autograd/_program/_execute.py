"""What is run of a line besides all of it: what can be saved where something fails, and the way back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from .._operation._kernel import entering, handed
from ._code import Code, step
from ._compose import OFTEN
from ._line import Line

FAILED = object()  # in the place of a value that could not be computed
Look = Callable[[Any, list[Any]], None]


def salvage(line: Line, values: Sequence[Any]) -> tuple[list[Any], int | None]:
    """The value of every slot that can be computed, FAILED in the others, and the number of the step that failed first.

    A backward counts as failed with any of the values it goes through.
    """
    env = Code(line, (), None).environment(values)
    first: int | None = None
    for op in line.ops:
        outs = op.outs + op.extras
        if not any(env[a] is FAILED for a in (*op.args, *line.roots.get(op.at, ()))):
            try:
                step(op, env)
                jax.block_until_ready([env[out] for out in outs])
                continue
            except Exception:
                first = op.at if first is None else first
        for out in outs:
            env[out] = FAILED
    return env, first


class Pull:
    """A reverse sweep through a line that was run with `through`, from some slots to others."""

    def __init__(
        self, line: Line, given: Sequence[int], targets: Sequence[int], stops: Iterable[int]
    ) -> None:
        after = copy.copy(line)
        after.avals, after.needs, after.ops = [*line.avals], [*line.needs], [*line.ops]
        after.constants, after._ones = {}, {}
        before = len(line.avals)
        self._given = [(after._new(line.avals[slot]), line.avals[slot]) for slot in given]
        self._found = after.pull(
            dict(zip(given, [slot for slot, _ in self._given], strict=True)), targets, stops
        )
        self._before = before
        self._runs = 0
        self._written: Any = None
        self._ops = after.ops[len(line.ops) :]
        self._code = Code(after, self._ops, [*self._found, *range(before)])
        self._rest = self._code.template[before:]

    def __call__(self, env: Sequence[Any], cotangents: Sequence[Any], look: Look | None = None) -> list[Any]:
        """The cotangents of the targets. `look` is shown each operation of the line with the cotangents of its
        arguments."""
        if look is None:
            if self._written is not None:
                found = self._written(env, cotangents)
                if found is None:
                    given = zip(cotangents, self._given, strict=True)
                    found = self._written(env, [entering(ct, aval) for ct, (_, aval) in given])
                if found is not None:
                    return found
            self._runs += 1
            if self._runs == OFTEN:
                self._written = self._code.written_back(self._given, self._found, self._before)
        env = [*env, *self._rest]
        for (slot, aval), ct in zip(self._given, cotangents, strict=True):
            env[slot] = entering(ct, aval)
        if look is None:
            self._code.run(env)
        else:
            for op in self._ops:
                step(op, env)
                if op.source is not None:
                    look(op.source, [env[out] for out in op.outs])
        return [handed(env[slot]) for slot in self._found]
