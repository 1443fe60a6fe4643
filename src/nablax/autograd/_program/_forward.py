"""A program forward: by the first tier, or compiled, with what its backward will need (the residuals)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from sys import getrefcount
from typing import Any

import jax
import jax.numpy as jnp

from .._ground._aval import PLAIN
from .._ground._bounded import Bounded
from .._ground._disk import compiled
from .._ground._lent import is_lent
from .._ground._references import OWN
from .._ground._settings import Settings, in_x64, x64_as
from .._ground._stats import stats
from .._operation._kernel import all_plain, handed
from .._path._trie import State
from ._code import Code
from ._compose import OFTEN
from ._line import Line
from ._notice import Notice
from ._outline import Outline
from ._pack import Plan, pack
from ._replay import pullback, run
from ._tiers import Hot, schedule

AGAIN = ("again", None)
MOST_PULLS = 64  # of each kind: ways back that are remembered


class Forward(Outline):
    """What runs the recording."""

    def __init__(self, state: State, path: Sequence[State], slots: tuple[int, ...]) -> None:
        super().__init__(state, path, slots)
        self.compiled: Any = None
        self._written: Any = None
        self.used = False  # again, since it was new or the next to be forgotten
        self.quick = False  # compiled, and nothing to do but to call it
        self._tree: Any = None
        self._places: list[int] = []
        self._plan: Plan = []
        self._handed: list[Any] = []
        self.notice = Notice(len(self.steps))
        self._machine = 0  # bytes of machine code
        self._pulls: Bounded = Bounded(MOST_PULLS)
        self._chains: Bounded = Bounded(MOST_PULLS)
        self._sweeps: Bounded = Bounded(MOST_PULLS)
        self._ways: Bounded = Bounded(MOST_PULLS)
        self.guess: Any = None  # the way back that was taken last

    @cached_property
    def hot(self) -> Hot:
        """When and how this program is compiled."""
        code = self.code
        start, count = schedule(code.calls, code.elements, len(self.inputs) + len(self.slots))
        return Hot(self._compile, start, count, self.notice)

    def forward(
        self, values: list[Any], tracing: bool, x64: bool, settings: Settings
    ) -> tuple[Sequence[Any], Any]:
        """Results, and the residual for the backward: a pair of its kind and its data, None without gradients.

        settings: of JAX, which are in force.
        """
        if tracing:
            return self._inline(values)
        stats.segments += 1
        hot = self.hot
        if self._written is not None and settings[0] is None:
            program = hot.ready()
            if program is None:
                found = self._written(values)
                if found is not None:
                    stats.interpreted += 1
                    return found
                if not all_plain(values):
                    program = hot.now()
        else:
            program = hot.ready() if settings[0] is None and all_plain(values) else hot.now()
        if program is None:
            stats.interpreted += 1
            if self._written is not None:
                return self._written(self.code.entering(values))
            if hot.runs == OFTEN and hot.count > 4 * OFTEN:
                self._written = self.code.written(self.slots, bool(self.targets))
            env = self.interpreted(values)
            return [handed(env[s]) for s in self.slots], ("env", env) if self.targets else None
        stats.hits += 1
        self.quick = not self.donates and (not self.targets or self.tiny)
        self.compiled = self.hot.use
        for i in self.donates:
            value = values[i]
            if getrefcount(value) > OWN or not isinstance(value, jax.Array) or is_lent(value):
                with x64_as(x64):
                    values[i] = jnp.array(value, copy=True)
        results = in_x64(x64, program, *values)
        if results and isinstance(results[0], jax.core.Tracer):
            # Read inside somebody's jit: compute now, not there.
            with jax.ensure_compile_time_eval():
                results = program(*values)
        elif results:
            PLAIN.add(results[0].__class__)
        if not self.targets:
            return results, None
        if self.tiny:
            return results, AGAIN
        return results[: len(self.slots)], ("residuals", results)

    def interpreted(self, values: Sequence[Any]) -> list[Any]:
        """The value of every slot, by the first tier."""
        code = self.code
        with x64_as(self.x64):
            env = code.environment(values)
            code.run(env)
            if any(isinstance(env[s], jax.core.Tracer) for s in self.slots):  # read inside somebody's jit
                with jax.ensure_compile_time_eval():
                    env = code.environment(values)
                    code.run(env)
        del env[code.slots :]
        return env

    @cached_property
    def line(self) -> Line:
        """The recording as a line of operations."""
        return Line(self.steps, self.typed, self.avals, self.needs, self.x64, bool(self.targets))

    @cached_property
    def code(self) -> Code:
        """What the first tier runs."""
        line = self.line
        if not self.targets:
            del self.line  # where something fails it is written again
        return Code(line, line.ops, None if self.targets else self.slots)

    @property
    def size(self) -> int:
        """Bytes of machine code and constants."""
        code: Any = self.__dict__.get("code")
        return self._machine + (0 if code is None else code.bytes)

    def _compile(self, ahead: bool) -> Any:
        """The compiled program. `ahead`: compile now, with the pullbacks seen so far; else when it is called."""
        stats.compilations += 1
        if not self.targets or self.tiny:
            program = jax.jit(self._results, donate_argnums=self.donates)
        else:
            program = jax.jit(self._with_residuals)
        if ahead:
            with jax.enable_x64(self.x64):
                made = compiled(program.lower(*self._structs))
                self._handed = list(made.out_info)
                self._machine = code_size(made)
            for hot in list(self._pulls.values()):
                hot.compile()
                hot.count = 0  # it takes over together with the forward
        return program

    @property
    def _structs(self) -> list[Any]:
        return [self.avals[slot].struct for slot in self.inputs]

    def _results(self, *values: Any) -> list[Any]:
        env = run(self.steps, values)
        return [env[s] for s in self.slots]

    def _with_residuals(self, *values: Any) -> list[Any]:
        _, pull, env = self._pullback(values)
        leaves, self._tree = jax.tree.flatten(pull)
        results = [env[s] for s in self.slots]
        # Most residuals are inputs, results, or one another: each array is handed out once, and inputs not at all.
        known = {id(v): i for i, v in enumerate([*values, *results])}
        new: list[Any] = []
        for leaf in leaves:
            if id(leaf) not in known:
                known[id(leaf)] = len(values) + len(results) + len(new)
                new.append(leaf)
        self._places = [known[id(leaf)] for leaf in leaves]
        packed, self._plan = pack(new)
        return results + packed

    def _inline(self, values: list[Any]) -> tuple[Sequence[Any], Any]:
        if not self.targets:
            return self._results(*values), None
        _, pull, env = self._pullback(values)
        return [env[s] for s in self.slots], ("inline", pull)

    def _pullback(self, values: Sequence[Any]) -> tuple:
        return pullback(self.steps, values, self.roots, self.targets, [self.avals[t] for t in self.targets])


def code_size(compiled: Any) -> int:
    """Bytes of machine code of a compiled program, where XLA tells."""
    analysis = compiled.memory_analysis()
    return getattr(analysis, "generated_code_size_in_bytes", 0) or 0
