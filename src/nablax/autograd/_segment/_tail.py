"""The tail of a recording that is cut: what came after the cut, recorded again on top of the results of what ran."""

from __future__ import annotations

from functools import partial
from sys import getrefcount
from typing import Any

from .._ground._references import OWN
from .._ground._settings import under, x64_as
from .._path._record import emit
from .._path._recorded import is_recorded
from .._path._steps import Apply, Leaf
from .._path._trace import Trace
from .._path._trie import State
from ._flush import flush


def split(trace: Trace, at: State) -> None:
    """Run the recording up to the state `at`; record the rest again on top of the results, as it was recorded."""
    tail = Tail(trace, at.size)
    settings, on, x64 = trace.settings, trace.on, trace.x64
    tail.leave(at)
    flush(trace)
    with under(settings), x64_as(on):
        trace.wide = x64
        tail.record()


class Tail:
    """What came after the first `size` slots of a recording.

    held: tensors of earlier slots, by slot; their values enter the new recording.  now: states in it, by old slot.
    """

    def __init__(self, trace: Trace, size: int) -> None:
        path = trace.state.path()
        self.trace = trace
        self.size = size
        self.states = {v.slot: v for s in path for v in s.made}
        self.rest = [s for s in path if s.size > size]
        self.used = {slot for s in self.rest for slot in s.reads}
        self.entered = trace.state.inputs()
        self.place = {s.slot: i for i, s in enumerate(self.entered)}
        self.values, self.inputs, self.links, self.mode = trace.values, trace.inputs, trace.links, trace.mode
        self.watched = {slot: w for slot, w in trace.watched.items() if slot >= size}
        alive = [t for t in trace.outs if getrefcount(t) > OWN]
        self.late = [(t, t._s.slot) for t in alive if t._s.slot >= size]
        self.held: dict[int, Any] = {t._s.slot: t for t in alive if t._s.slot < size}
        self.now: dict[int, State] = {}

    def leave(self, at: State) -> None:
        """Take the tail off: what stays ends in the state `at`, and hands out what the tail reads."""
        trace, size = self.trace, self.size
        early = sum(s.size <= size for s in self.entered)
        trace.outs = list(self.held.values())
        trace.append = trace.outs.append
        for slot in self.used:
            if slot < size and slot not in self.held and slot not in self.place:
                self.held[slot] = emit(trace, self.states[slot])
        for tensor in self.inputs[early:]:
            if tensor is not None and not is_recorded(tensor):
                tensor._s = None
        trace.state = at
        trace.values, trace.inputs = self.values[:early], self.inputs[:early]
        trace.links = {slot: link for slot, link in self.links.items() if slot < size}
        trace.watched = {slot: w for slot, w in trace.watched.items() if slot < size}

    def record(self) -> None:
        """Record it again."""
        trace = self.trace
        for old in self.rest:
            trace.set_mode(old.mode)
            old.step.record_again(self, old)
        trace.set_mode(self.mode)
        for tensor, slot in self.late:
            tensor._s = self.now[slot]
            trace.append(tensor)
        trace.watched.update({self.now[slot].slot: watch for slot, watch in self.watched.items()})

    # -- steps: each has itself recorded by the method of its kind ----------------------------------------------------

    def enter(self, old: State) -> None:
        if old.slot in self.used:
            self.state(old.slot)

    def leaf(self, step: Leaf, old: State) -> None:
        state = self.now[old.slot] = self.trace.leaf(self.state(step.slot))
        self.trace.links[state.slot] = self.links[old.slot]

    def apply(self, step: Apply, old: State) -> None:
        args = [self.state(slot) for slot in step.args]
        by_old = {self.states[slot]: state for slot, state in zip(step.args, args, strict=True)}
        key = tuple([by_old.get(k, k) if k.__class__ is State else k for k in old.key])
        state = self.trace.apply(key, partial(getattr, step, "call"), args, step.sever and old.mode)
        for before, after in zip(old.outs or (), state.outs or (), strict=True):
            self.now[before.slot] = after

    def state(self, slot: int) -> State:
        """What stands in the new recording for a slot of the old one."""
        if slot in self.now:
            return self.now[slot]
        if slot in self.held:
            return self.trace.source(self.held[slot])
        i = self.place[slot]
        old, value, tensor = self.states[slot], self.values[i], self.inputs[i]
        same = tensor is not None and tensor._s is None and tensor._v is value
        state = self.now[slot] = self.trace.enter(old.aval, value, old.needs, tensor if same else None)
        if slot in self.links:
            self.trace.links[state.slot] = self.links[slot]
        if same:
            tensor._s = state
        return state
