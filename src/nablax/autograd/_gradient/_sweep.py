"""A sweep: one backward pass through what is recorded, then through the nodes (see _walk.py), to the leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._path._record import emit, state_of
from .._path._recorded import as_tensor, is_recorded, link_of
from .._path._trie import State
from .._segment._flush import flush
from .._segment._node import Freed
from ._accumulate import accumulating, add_to
from ._cotangents import cast, one, own
from ._hooks import hooked
from ._reach import Reach
from ._stretches import keep
from ._walk import Walk


class Sweep(Walk):
    """One backward pass, from roots to leaves."""

    # -- what the recording still holds ---------------------------------------------------------------------------

    def again(self, root: Any, state: State) -> None:
        """`start` from a recorded number whose backward was recorded before, and leads to `state`."""
        trace = self.trace
        self.name = root._name
        trace.state = state
        for slot, out in zip(state.targets, state.outs or (), strict=True):
            self.send(trace.links[slot], emit(trace, out))

    def start(self, roots: Sequence[Any], cotangents: Sequence[Any]) -> None:
        """Send cotangents (tensors, arrays or None for one) into the graph of the roots."""
        trace = self.trace
        if len(roots) == 1 and cotangents[0] is None and self.wanted is None and not is_recorded(roots[0]):
            (root,) = roots
            self.name = root._name
            ct = one(root._a, root._n)
            self.send(link_of(root), own(ct) if root._r else ct)
            return
        self.name = next((root._name for root in roots if root._name is not None), None)
        cotangents = [
            None if ct is None else cast(ct, root.dtype) for root, ct in zip(roots, cotangents, strict=True)
        ]
        if any(watch.hooks for watch in trace.watched.values()) and any(map(is_recorded, roots)):
            flush(trace)  # hooks run in between: what they watch must have run
        elif trace.wanders and not self.create and any(map(is_recorded, roots)):
            flush(trace)  # pulled back in pieces, too
        if self.wanted is not None:
            self.reach = Reach(self.wanted)
        recorded, given = [], []
        for root, ct in zip(roots, cotangents, strict=True):
            if is_recorded(root):
                recorded.append(trace.source(root))
                given.append(None if ct is None else state_of(trace, ct))
        if recorded:
            self._recorded(recorded, given)
        for root, ct in zip(roots, cotangents, strict=True):
            if not is_recorded(root):
                ct = one(root._a, root._n) if ct is None else ct
                self.send(link_of(root), own(ct) if root._r else ct)

    def _recorded(self, roots: list[State], cotangents: list[State | None]) -> None:
        trace = self.trace
        freed = trace.state.freed
        for root in roots:
            if root.mask & freed:
                Freed(root).check((), self.name)
        sought: dict[int, Any] = {}
        wanted = None
        if self.reach is not None:
            wanted = sum(1 << slot for slot, link in trace.links.items() if self.reach.leads(link))
            sought = {w._s.slot: w for w in self.wanted or () if is_recorded(w) and not w._r}
        watched = trace.watched
        if self.reach is not None and watched:
            masks = {v.slot: v.mask for p in trace.state.path() for v in p.made}
            watched = {
                slot: watch
                for slot, watch in watched.items()
                if self.reach.records(masks[slot], trace.links, sought)
            }
        extra = {*sought, *watched}
        before = trace.state
        state = trace.gradient(
            roots, cotangents, wanted, sum(1 << s for s in extra), self.retain, self.create
        )
        if state is None:
            return
        if len(roots) == 1 and cotangents[0] is None and wanted is None and not extra and not self.create:
            before.edges["gradient", roots[0], self.retain] = state  # where backward looks
            trace.grow(1)
        for slot, out in zip(state.targets, state.outs or (), strict=True):
            gradient = emit(trace, out)
            if slot in sought:
                self.found[id(sought[slot])] = gradient
            if slot in watched:
                keep(watched[slot], gradient, None, slot)
            if slot in trace.links:
                self.send(trace.links[slot], gradient)

    # -- the leaves -----------------------------------------------------------------------------------------------

    def accumulate(self) -> None:
        """Add what arrived to `.grad` of the leaves; one thread at a time, for threads may share leaves."""
        with accumulating:
            self._accumulate()

    def _accumulate(self) -> None:
        while self.leaves:  # emptied, so that what is only added to a buffer is no result of the program
            leaf, gradient = self.leaves.pop(next(iter(self.leaves)))
            if leaf._hooks:
                gradient = own(hooked(leaf._hooks, gradient))
            if leaf._g is None:
                leaf._g = as_tensor(gradient, leaf._a)
            elif self.create:
                leaf._g = leaf._g + as_tensor(gradient)
            else:
                add_to(self.trace, leaf._g, gradient)
        leaf = gradient = None
        if not self.lazy and not self.create:
            flush(self.trace)
