"""New edges of the trie: what a trace does the first time that a recording takes a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._ground._aval import Aval
from .._operation._call import Call
from ._steps import Apply, Gradient, Leaf
from ._trie import State, bits

CARRYING, BARE = (True,), (False,)  # whether the one result carries a gradient
new = tuple.__new__
HEAVIEST = 32  # a single operation counts for no more than this towards max_segment


class Settings:
    """max_segment: operations in a recording before it is cut (see `max_segment`)."""

    max_segment = 256


settings = Settings()


class Growing:
    """The part of a trace that makes new states, from where it is now.

    fresh: for those that apply operations and were made in this recording, the operations on their arguments.
    """

    __slots__ = ("fresh", "mode", "state", "turned", "wrote", "x64")

    fresh: dict[State, Any]
    state: State
    mode: bool
    x64: bool
    wrote: bool
    turned: int

    def grow(self, size: int) -> None:
        raise NotImplementedError

    def extend(self, key: tuple, call: Call, args: Sequence[State], sever: bool, donate: int = -1) -> State:
        parent = self.state
        if self.turned < 0:
            self.turned = parent.size
        sever = sever or not self.mode
        mask = 0
        for arg in args:
            mask |= arg.mask
        wants = tuple([i for i, arg in enumerate(args) if arg.needs]) if mask and not sever else ()
        found = call.on(tuple([arg.aval for arg in args]), self.x64, wants)
        made = found.avals
        needs: tuple[bool, ...]
        if len(made) == 1:
            needs = CARRYING if wants and made[0].inexact else BARE
        else:
            needs = tuple([aval.inexact for aval in made]) if wants else BARE * len(made)
        state = State(self, parent, self.mode)
        state.step = new(Apply, (call, tuple([arg.slot for arg in args]), sever, needs, donate))
        self._results(state, made, needs, mask)
        state.tree, self.fresh[state] = found.tree, found
        state.weight += min(found.weight, HEAVIEST)
        state.full = state.weight >= settings.max_segment
        state.key = key
        if len(key) == 3:
            state.op, state.a, state.b = key
        elif len(key) == 2:
            state.op, state.a = key
        elif len(key) == 4:
            state.op, state.a, _, state.b = key
        parent.edges[key] = state
        self.grow(1)
        return state

    def _results(self, state: State, avals: Sequence[Aval], needs: Sequence[bool], mask: int) -> None:
        state.here(4)
        if len(avals) == 1:
            state.result(avals[0], needs[0], mask)
            state.outs = (state,)
            return
        outs = []
        for aval, need in zip(avals, needs, strict=True):
            out = State(self, None, self.mode)
            out.size = state.size
            out.result(aval, need, mask)
            state.size = out.size
            out.within, out.at, out.step = state.within, state.at, state.step
            outs.append(out)
        state.outs = tuple(outs)

    def leaf(self, state: State) -> State:
        """A recorded value as a leaf of its own (an update in place under no_grad())."""
        key = ("leaf", state)
        found = self.state.edges.get(key)
        if found is None:
            found = State(self, self.state, self.mode).result(state.aval, True, 0)
            found.step = Leaf(state.slot, state.aval)
            found.sources |= found.mask
            found.here(2)
            self.state.edges[key] = found
            self.grow(1)
        self.state = found
        self.wrote = True
        return found

    def gradient(self, roots: Sequence[State], cotangents: Sequence[State | None], wanted: int | None, extra: int,
                 retain: bool, create: bool) -> State | None:  # fmt: skip
        """Record a backward; `targets` of the state it leads to are the slots whose gradients its results are.
        None: the roots depend on none of them.

        wanted: bits of the sources of interest, None for all.  extra: bits of other slots of interest.
        """
        key = ("gradient", tuple(roots), tuple(cotangents), wanted, extra, retain, create)
        state = self.state.edges.get(key)
        if state is None:
            mask = 0
            for root in roots:
                mask |= root.mask
            sources = self.state.sources
            targets = tuple(bits(mask & (sources if wanted is None else sources & wanted | extra)))
            if wanted is None and extra:
                targets = tuple(bits(mask & (sources | extra)))
            if not targets:
                return None
            by_slot: dict[int, Aval] = {}
            for p in self.state.path():
                if p.outs is None:
                    by_slot[p.slot] = p.aval
                else:
                    by_slot.update([(out.slot, out.aval) for out in p.outs])
            avals = tuple([by_slot[t] for t in targets])
            state = State(self, self.state, self.mode)
            given = tuple(-1 if ct is None else ct.slot for ct in cotangents)
            state.step = Gradient(tuple(root.slot for root in roots), given, targets, avals, create)
            for ct in cotangents:
                mask |= 0 if ct is None else ct.mask
            self._results(state, avals, [create] * len(avals), mask)
            state.targets = targets
            state.weight = 0  # a backward costs what its forward costs: cut forwards, never between the two
            if not retain:
                state.freed |= mask & ~sources
            self.state.edges[key] = state
            self.grow(len(targets))
        self.state = state
        return state
