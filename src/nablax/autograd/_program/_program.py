"""Programs: a recording with a choice of results, and the ways to run it forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .._ground._bounded import Bounded
from .._ground._disk import at_first, compiled
from .._ground._settings import in_x64, now, x64_as
from .._ground._stats import stats
from .._operation._kernel import plain, plus
from .._path._trie import State
from ._execute import Pull
from ._forward import Forward
from ._pack import unpack
from ._replay import pullback, variable
from ._tiers import Hot
from ._way import Way

MOST_PROGRAMS = 1024
_PROGRAMS: Bounded = Bounded(MOST_PROGRAMS)


class Program(Forward):
    """What runs the recording (see _forward.py), and pulls gradients back through it."""

    def way(self, outputs: tuple[int, ...]) -> Way:
        """The way back from some outputs."""
        found = self._ways.get(outputs)
        if found is None:
            found = self._ways[outputs] = Way(self, outputs)
        self.guess = found
        return found

    def pulling(self, given: tuple[int, ...], wants: tuple[int, ...], mask: tuple[bool, ...]) -> Hot:
        """When and how a pullback is compiled."""
        key = (given, wants, mask)
        hot = self._pulls.get(key)
        if hot is None:
            build = partial(self._compile_pull, given, wants, mask)
            hot = self._pulls[key] = Hot(build, self.hot.start, self.hot.count, self.notice)
        return hot

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
        hot = self.pulling(given, wants, mask)
        if kind == "env":
            program, env = None, data
            hot.runs += 1
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
        return in_x64(self.x64, program, sums, entering, cts)

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
                compiled(found.lower(sums, structs, cts))
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

            self._chains[key] = jax.jit(chain)
            program = self.notice.first(at_first(self._chains[key]))
        return in_x64(self.x64, program, values, ct)

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
            hot = self._pulls[key] = Hot(build, self.hot.start, self.hot.count, self.notice)
        program = hot.ready() if now()[0] is None and all(map(plain, values)) else hot.now()
        with x64_as(self.x64):
            if program is None:
                return self.sweep(given, targets, stops)(self.interpreted(values), cts)
            return program(list(values), cts)

    def _compile_between(
        self, given: tuple[int, ...], targets: tuple[int, ...], stops: tuple[int, ...], ahead: bool
    ) -> Any:
        stats.compilations += 1
        found = jax.jit(lambda values, cts: self.between(values, cts, given, targets, stops))
        if ahead:
            with jax.enable_x64(self.x64):
                compiled(found.lower(self._structs, [self.avals[slot].struct for slot in given]))
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
    path = state.path()
    key = (tuple([s.step for s in path]), slots, state.freed, state.trace.x64)
    found = _PROGRAMS.get(key)
    if found is None:
        _make_room()
        found = _PROGRAMS[key] = Program(state, path, slots)
    return found


def _make_room() -> None:
    """Forget the oldest program that did not run again: those that do are not looked up here, and become the newest."""
    while len(_PROGRAMS) >= _PROGRAMS.most:
        key, oldest = _PROGRAMS.popitem(last=False)
        if not oldest.used:
            return
        oldest.used = False
        _PROGRAMS[key] = oldest


def remembered() -> tuple[int, int]:
    """How many programs there are, and the bytes that they hold."""
    programs = list(_PROGRAMS.values())
    return len(programs), sum(program.size for program in programs)


def clear_programs() -> None:
    """Forget all compiled segments."""
    _PROGRAMS.clear()


def _plus(grads: Sequence[Any], sums: Sequence[Any]) -> list[Any]:
    return [g if s is None else plus(s, g) for g, s in zip(grads, sums, strict=True)]


def _sum(grads: Sequence[Any], sums: Sequence[Any]) -> list[Any]:
    return [g if s is None else s + g for g, s in zip(grads, sums, strict=True)]
