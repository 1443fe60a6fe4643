"""Running a line: forward, as far as it goes where something fails, and backward."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from .._operation._kernel import entering
from ._line import Line

FAILED = object()  # in the place of a value that could not be computed
Look = Callable[[Any, list[Any]], None]


def execute(code: Iterable[tuple], env: list[Any]) -> None:
    """Run operations on an environment."""
    with np.errstate(all="ignore"):
        for run, args, outs, dead in code:
            if run is None:
                env[outs[0]] = env[args[0]]
            else:
                made = run([env[a] for a in args])
                if len(outs) == 1:
                    env[outs[0]] = made[0]
                else:
                    for out, value in zip(outs, made, strict=True):
                        env[out] = value
            for slot in dead:
                env[slot] = None


def salvage(line: Line, values: Sequence[Any]) -> tuple[list[Any], int | None]:
    """The value of every slot that can be computed, FAILED in the others, and the number of the step that failed first.

    A backward counts as failed with any of the values it goes through.
    """
    env = line.environment(values)
    first: int | None = None
    for op, row in zip(line.ops, line.code(), strict=True):
        missing = any(env[a] is FAILED for a in (*op.args, *line.roots.get(op.at, ())))
        if not missing:
            try:
                execute([row], env)
                jax.block_until_ready([env[out] for out in row[2]])
                continue
            except Exception:
                first = op.at if first is None else first
        for out in row[2]:
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
        self._before = len(line.avals)
        self._given = [after._new(line.avals[slot]) for slot in given]
        self._found = after.pull(dict(zip(given, self._given, strict=True)), targets, stops)
        self._ops = after.ops[len(line.ops) :]
        self._code = after.code(len(line.ops), [*self._found, *range(self._before)])
        self._blank = [None] * (len(after.avals) - self._before)
        self._constants = list(after.constants.items())
        self._avals = [line.avals[slot] for slot in given]

    def __call__(self, env: Sequence[Any], cotangents: Sequence[Any], look: Look | None = None) -> list[Any]:
        """The cotangents of the targets. `look` is shown each operation of the line with the cotangents of its
        arguments."""
        env = [*env, *self._blank]
        for slot, aval, ct in zip(self._given, self._avals, cotangents, strict=True):
            env[slot] = entering(ct, aval)
        for slot, value in self._constants:
            env[slot] = value
        if look is None:
            execute(self._code, env)
        else:
            for op, row in zip(self._ops, self._code, strict=True):
                execute([row], env)
                if op.source is not None:
                    look(op.source, [env[out] for out in op.outs])
        return [env[slot] for slot in self._found]
