"""Programs: a recording with a choice of results, and the ways to run it forward and backward."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cached_property, partial
from sys import getrefcount
from typing import Any

import jax
import jax.numpy as jnp

from .._ground._aval import config
from .._ground._bounded import Bounded
from .._ground._lent import is_lent
from .._ground._settings import now
from .._ground._stats import stats
from .._operation._kernel import handed, plain, plus
from .._path._steps import Leaf, Step, inputs
from .._path._trie import State, bits
from ._line import Line, Pull, execute
from ._pack import Plan, pack, unpack
from ._replay import pullback, run, variable
from ._tiers import Hot, schedule

MOST_PROGRAMS = 1024
_PROGRAMS: Bounded = Bounded(MOST_PROGRAMS)
TINY_WORK, TINY_SIZE = (
    32,
    16_384,
)  # below both, backward computes the forward again instead of reading residuals

AGAIN = ("again", None)


class Program:
    """A recording and the slots it hands out.

    kinds: for each result its aval, its output number in the graph (None without gradient, -1 if freed), and whether it
    is a leaf.
    roots: slots of the results that carry gradients; masks: their ancestors.  flows: for each slot, the slots that
    its gradient flows through.
    targets: the sources (inputs and leaves) that those gradients reach.
    """

    def __init__(self, state: State, slots: tuple[int, ...]) -> None:
        path = state.path()
        self.steps: list[Step] = [s.step for s in path if s.step is not None]
        self.slots = slots
        values = [v for s in path for v in (s.outs or (s,))]
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
            leaf = isinstance(value.step, Leaf)
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
        self.weight = sum(
            s.weight - p.weight for s, p in zip(path[1:], path[:-1], strict=True) if s.weight > p.weight
        )
        self.inputs = inputs(self.steps)
        self.may_fail = any(step.may_fail for step in self.steps)
        self.donates = [] if self.targets else self._donated()
        self.tiny = self._is_tiny()
        self.compiled: Any = None
        self.quick = False  # compiled, and nothing to do but to call it
        self._wants: dict[tuple, tuple[int, ...]] = {}
        self._tree: Any = None
        self._places: list[int] = []
        self._plan: Plan = []
        self._handed: list[Any] = []
        self._pulls: dict[tuple, Hot] = {}
        self._chains: dict[tuple, Any] = {}
        self._sweeps: dict[tuple, Pull] = {}
        self._line: Line | None = None
        self._code: list[tuple] | None = None

    @cached_property
    def hot(self) -> Hot:
        """When and how this program is compiled."""
        calls = sum(2 * op.typed.weight for op in self.line.ops if op.typed is not None)
        elements = sum(aval.size for aval in self.line.avals)
        start, count = schedule(calls, elements, len(self.inputs) + len(self.slots))
        return Hot(self._compile, start, count)

    def _donated(self) -> list[int]:
        if self.may_fail:
            return []  # a buffer given to a program that fails is gone
        marked = {step.donate for step in self.steps}
        return [i for i, slot in enumerate(self.inputs) if slot in marked]

    def _is_tiny(self) -> bool:
        """Whether computing it again costs less than handing out residuals."""
        if self.may_fail:
            return False  # what Python is asked once is not asked again
        return self.weight <= TINY_WORK and sum(a.size for a in self.avals) <= TINY_SIZE

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

    # -- forward ------------------------------------------------------------------------------------------------

    def forward(self, values: list[Any], tracing: bool, x64: bool) -> tuple[Sequence[Any], Any]:
        """Results, and the residual for the backward: a pair of its kind and its data, None without gradients."""
        if tracing:
            return self._inline(values)
        stats.segments += 1
        program = self.hot.ready() if now()[0] is None and all(map(plain, values)) else self.hot.now()
        if program is None:
            stats.interpreted += 1
            env = self.interpreted(values)
            return [handed(env[s]) for s in self.slots], ("env", env) if self.targets else None
        stats.hits += 1
        self.quick = not self.donates and (not self.targets or self.tiny)
        self.compiled = program
        for i in self.donates:
            value = values[i]
            if getrefcount(value) > 3 or not isinstance(value, jax.Array) or is_lent(value):
                values[i] = jnp.array(value, copy=True)
        if x64 == config.jax_enable_x64:
            results = program(*values)
        else:
            with jax.enable_x64(x64):
                results = program(*values)
        if results and isinstance(
            results[0], jax.core.Tracer
        ):  # read inside somebody's jit: compute now, not there
            with jax.ensure_compile_time_eval():
                results = program(*values)
        if not self.targets:
            return results, None
        if self.tiny:
            return results, AGAIN
        return results[: len(self.slots)], ("residuals", results)

    def interpreted(self, values: Sequence[Any]) -> list[Any]:
        """The value of every slot, by the first tier."""
        line = self.line
        if self._code is None:
            self._code = line.code(keep=None if self.targets else self.slots)
        with x64_as(self.x64):
            env = line.environment(values)
            execute(self._code, env)
            if any(isinstance(env[s], jax.core.Tracer) for s in self.slots):  # read inside somebody's jit
                with jax.ensure_compile_time_eval():
                    env = line.environment(values)
                    execute(self._code, env)
        return env

    @property
    def line(self) -> Line:
        """The recording as a line of operations."""
        if self._line is None:
            self._line = Line(self.steps, self.avals, self.needs, self.x64, bool(self.targets))
        return self._line

    def _compile(self, ahead: bool) -> Any:
        """The compiled program. `ahead`: compile now, with the pullbacks seen so far; else when it is called."""
        stats.compilations += 1
        if not self.targets or self.tiny:
            program = jax.jit(self._results, donate_argnums=self.donates)
        else:
            program = jax.jit(self._with_residuals)
        if ahead:
            with jax.enable_x64(self.x64):
                compiled = program.lower(*self._structs).compile()
                self._handed = list(compiled.out_info)
            for hot in list(self._pulls.values()):
                hot.compile()
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

    # -- backward -----------------------------------------------------------------------------------------------

    def pull(
        self, values: Any, residual: Any, cotangents: dict[int, Any], wants: tuple[int, ...], sums: list[Any]
    ) -> list:
        """Cotangents of the targets number `wants`, given those of some outputs, added to `sums` where not None.

        The buffers in `sums` are donated.
        """
        kind, data = residual
        given = tuple(cotangents)
        cts = list(cotangents.values())
        if kind == "inline":
            return _sum(self._pull_residuals(data, cts, given, wants), sums)
        mask = tuple([s is not None for s in sums])
        key = (given, wants, mask)
        hot = self._pulls.get(key)
        if hot is None:
            build = partial(self._compile_pull, given, wants, mask)
            hot = self._pulls[key] = Hot(build, self.hot.start, self.hot.count)
        if kind == "env":
            program, env = None, data
        else:
            program = hot.ready()
            if program is None:
                env = self.interpreted(values)
        if program is None:
            sweep = self.sweep([self.roots[k] for k in given], [self.targets[i] for i in wants])
            with x64_as(self.x64):
                return _plus(sweep(env, cts), sums)
        sums = [s for s in sums if s is not None]
        entering = values if kind == "again" else [*values, *data]
        if self.x64 == config.jax_enable_x64:
            return program(sums, entering, cts)
        with jax.enable_x64(self.x64):
            return program(sums, entering, cts)

    def sweep(self, given: Sequence[int], targets: Sequence[int], stops: Sequence[int] = ()) -> Pull:
        """The first tier's pullback from some slots to others, through what `interpreted` left."""
        key = (tuple(given), tuple(targets), tuple(stops))
        found = self._sweeps.get(key)
        if found is None:
            found = self._sweeps[key] = Pull(self.line, *key)
        return found

    def _compile_pull(
        self, given: tuple[int, ...], wants: tuple[int, ...], mask: tuple[bool, ...], ahead: bool
    ) -> Any:
        def program(sums: list[Any], entering: Any, cts: list[Any]) -> list[Any]:
            if self.tiny:
                grads = self.pull_again(entering, cts, given, wants)
            else:
                grads = self._pull_residuals(self._unpacked(entering), cts, given, wants)
            rest = iter(sums)
            return _sum(grads, [next(rest) if m else None for m in mask])

        stats.compilations += 1
        found = jax.jit(program, donate_argnums=0)
        if ahead:
            targets = [self.avals[self.targets[i]].struct for i in wants]
            sums = [struct for struct, m in zip(targets, mask, strict=True) if m]
            cts = [self.avals[self.roots[k]].struct for k in given]
            with jax.enable_x64(self.x64):
                structs = self._structs if self.tiny else [*self._structs, *self._handed]
                found.lower(sums, structs, cts).compile()
        return found

    def pull_chain(self, values: list[Any], ct: Any, k: int, want: int) -> Any:
        """The same as `pull` through several runs of this program, each of which got its input from the one after
        it."""
        key = (len(values), k, want)
        program = self._chains.get(key)
        if program is None:
            stats.compilations += 1

            def chain(values: list[Any], ct: Any) -> Any:
                for entering in values:
                    (ct,) = self.pull_again(entering, [ct], (k,), (want,))
                return ct

            program = self._chains[key] = jax.jit(chain)
        if self.x64 == config.jax_enable_x64:
            return program(values, ct)
        with jax.enable_x64(self.x64):
            return program(values, ct)

    def pull_again(
        self, values: Sequence[Any], cts: list[Any], given: Sequence[int], wants: Sequence[int]
    ) -> list[Any]:
        """Cotangents of targets as a function of the inputs and the cotangents of outputs: itself differentiable."""
        targets = [self.targets[i] for i in wants]
        avals = [self.avals[t] for t in targets]
        _, pull, _ = pullback(self.steps, values, [self.roots[k] for k in given], targets, avals)
        return pull(cts)[0]

    def pull_between(
        self,
        values: Sequence[Any],
        cotangents: dict[int, Any],
        targets: tuple[int, ...],
        stops: tuple[int, ...],
    ) -> list[Any]:
        """Cotangents of any slots, given those of any others; the gradient stops at `stops`, which are targets.

        The forward is computed again.
        """
        given = tuple(cotangents)
        cts = list(cotangents.values())
        if any(isinstance(v, jax.core.Tracer) for v in (*values, *cts)):
            return self.between(values, cts, given, targets, stops)
        key = ("between", given, targets, stops)
        hot = self._pulls.get(key)
        if hot is None:
            build = partial(self._compile_between, given, targets, stops)
            hot = self._pulls[key] = Hot(build, self.hot.start, self.hot.count)
        program = hot.ready() if now()[0] is None and all(map(plain, values)) else hot.now()
        with x64_as(self.x64):
            if program is None:
                return [handed(g) for g in self.sweep(given, targets, stops)(self.interpreted(values), cts)]
            return program(list(values), cts)

    def _compile_between(
        self, given: tuple[int, ...], targets: tuple[int, ...], stops: tuple[int, ...], ahead: bool
    ) -> Any:
        stats.compilations += 1
        found = jax.jit(lambda values, cts: self.between(values, cts, given, targets, stops))
        if ahead:
            with jax.enable_x64(self.x64):
                found.lower(self._structs, [self.avals[slot].struct for slot in given]).compile()
        return found

    def between(
        self,
        values: Sequence[Any],
        cts: list[Any],
        given: Sequence[int],
        targets: Sequence[int],
        stops: Sequence[int] = (),
        known: Sequence[int] = (),
    ) -> list[Any]:
        """`pull_between` as a function of inputs and cotangents: itself differentiable.

        After the inputs, `values` may hold those of the slots `known`; what is computed from them is then a function of
        these, and no more of what they were computed from.
        """
        avals = [self.avals[t] for t in targets]
        n = len(self.inputs)
        taps = {slot: [variable(value)] for slot, value in zip(known, values[n:], strict=True)}
        _, pull, _ = pullback(self.steps, values[:n], given, targets, avals, taps, stops)
        return pull(cts)[0]

    def _unpacked(self, entering: Sequence[Any]) -> Any:
        start = len(self.inputs) + len(self.slots)
        known = [*entering[:start], *unpack(entering[start:], self._plan)]
        return jax.tree.unflatten(self._tree, [known[place] for place in self._places])

    def _pull_residuals(
        self, pull: Any, cts: list[Any], given: Sequence[int], wants: Sequence[int]
    ) -> list[Any]:
        full: list[Any] = [jnp.zeros(self.avals[r].shape, self.avals[r].dtype) for r in self.roots]
        for k, ct in zip(given, cts, strict=True):
            full[k] = ct
        grads = pull(full)[0]
        return [grads[i] for i in wants]


def program_for(state: State, slots: tuple[int, ...]) -> Program:
    """The program of a recording, shared by all tries in which the same steps were recorded."""
    key = (tuple(s.step for s in state.path()), slots, state.freed, state.trace.x64)
    found = _PROGRAMS.get(key)
    if found is None:
        found = _PROGRAMS[key] = Program(state, slots)
    return found


def clear_programs() -> None:
    """Forget all compiled segments."""
    _PROGRAMS.clear()


def _plus(grads: Sequence[Any], sums: Sequence[Any]) -> list[Any]:
    return [handed(g) if s is None else plus(s, g) for g, s in zip(grads, sums, strict=True)]


def x64_as(x64: bool) -> Any:
    """A context in which x64 is on, or off; free where it is so already."""
    return _AS_IT_IS if x64 == config.jax_enable_x64 else jax.enable_x64(x64)


_AS_IT_IS = contextlib.nullcontext()


def _sum(grads: Sequence[Any], sums: Sequence[Any]) -> list[Any]:
    return [g if s is None else s + g for g, s in zip(grads, sums, strict=True)]
