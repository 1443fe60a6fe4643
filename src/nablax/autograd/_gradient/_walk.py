"""A walk through the graph of nodes, from the latest to the earliest.

A node some of whose slots are watched (hooks, retain_grad, inputs of `grad`) is pulled in stretches. The first goes
from the cotangents that arrived to the node's sources and to its watched slots, and stops at those with hooks; then
each of these, the latest first, has its complete gradient, calls its hooks, and is where the next stretch starts.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from sys import getrefcount
from typing import Any

import jax
import numpy as np

from .._ground._aval import config
from .._ground._lent import is_lent
from .._ground._settings import now, under
from .._operation._kernel import plus
from .._path._recorded import Recorded, as_tensor, is_recorded
from .._path._trace import Trace, local
from .._segment._flush import flush
from .._segment._node import Gone, Watch
from ._chains import chain_from, pull_chain
from ._cotangents import computed, own
from ._hooks import hooked
from ._reach import Reach
from ._recorded_pull import record_pull


class Walk:
    """One backward pass, as far as it concerns nodes.

    Gradients that arrive at leaves are in `leaves`. `wanted` restricts it to some tensors: their gradients are then in
    `leaves`, and those of intermediates in `found`.
    """

    def __init__(self, create: bool, retain: bool, lazy: bool, wanted: Sequence[Any] | None) -> None:
        self.create = create
        self.retain = retain
        self.lazy = lazy
        self.wanted = None if wanted is None else list(wanted)
        self.trace: Trace = local.trace
        self.heap: list[tuple[int, int, Any]] = []
        self.cotangents: dict[int, dict[int, Any]] = {}  # id of a node -> output -> cotangent
        self.leaves: dict[int, tuple[Any, Any]] = {}  # id of a leaf -> leaf, gradient
        self.found: dict[int, Any] = {}  # id of a wanted intermediate -> gradient
        self.sought: dict[int, dict[int, Any]] = {}  # id of a node -> slot -> wanted tensor
        self.reach: Reach | None = None if wanted is None else Reach(wanted, self.sought)
        self.floor: float = -2  # nodes before this one lead to nothing that is wanted
        self.name: str | None = None  # of the first root that has one, for messages

    def send(self, link: Any, gradient: Any) -> None:
        """A gradient on its way to a leaf or to an output of a node."""
        if not isinstance(link, tuple):
            known = self.leaves.get(id(link))
            self.leaves[id(link)] = (link, gradient if known is None else self._plus(known[1], gradient))
            return
        node, k = link
        waiting = self.cotangents.get(id(node))
        if waiting is None:
            waiting = self.cotangents[id(node)] = {}
            heapq.heappush(self.heap, (-node.serial, id(node), node))
        waiting[k] = self._plus(waiting[k], gradient) if k in waiting else gradient

    def _plus(self, a: Any, b: Any) -> Any:
        if self.create or isinstance(a, Recorded) or isinstance(b, Recorded):
            return as_tensor(a) + as_tensor(b)
        return plus(a, b)

    def walk(self) -> None:
        """Go through the nodes, latest first."""
        if not self.heap:
            return
        if not self.create:
            flush(self.trace)
        straight = self.wanted is None and not self.create and self.trace.probe is None
        settings, x64 = now(), config.jax_enable_x64
        while self.heap:
            _, _, node = heapq.heappop(self.heap)
            waiting = self.cotangents.pop(id(node))
            if straight:
                while node is not None and _is_straight(node, x64, settings):
                    node, waiting = self._pull_straight(node, waiting)
                if node is None:
                    continue
            outputs = tuple(sorted(waiting))
            sought = self.sought.get(id(node))
            if sought and isinstance(node, Gone):
                self.found.update({id(w): waiting[k] for k, w in sought.items() if k in waiting})
                if self.floor > -2:
                    continue
            node.check(outputs, self.name)
            if node.watched or sought:
                self._in_stretches(node, waiting, sought or {})
                if not self.retain:
                    node.free(outputs)
                continue
            wants = node.program.wants(outputs)
            if self.wanted is not None:
                wants = tuple([i for i in wants if self._interesting(node.links[i])])
            elif len(wants) == len(outputs) == 1 and not self.create and self.trace.probe is None:
                k, want = outputs[0], wants[0]
                chain = chain_from(node, k, want, self._is_met, self.name)
                if chain is not None:
                    self.send(chain[-1].links[want], pull_chain(chain, waiting[k], k, want, self.retain))
                    continue
            cotangents = {k: waiting[k] for k in outputs}
            pulled = self._pull(node, cotangents, wants)
            if self.trace.probe is not None:
                by_slot = {node.program.roots[k]: ct for k, ct in cotangents.items()}
                self.trace.probe.__self__.backward(node, by_slot, pulled)
            for i, gradient in zip(wants, pulled, strict=True):
                self.send(node.links[i], gradient)
            if not self.retain:
                node.free(outputs)

    def _pull_straight(self, node: Any, waiting: dict[int, Any]) -> tuple[Any, dict[int, Any]]:
        """Pull a node that the first tier ran, which nobody watches. Returns a node that must be next, and its
        cotangents, if there is one."""
        program = node.program
        outputs = tuple(waiting) if len(waiting) == 1 else tuple(sorted(waiting))
        way = program.ways.get(outputs) or program.way(outputs)
        if node.freed & way.mask:
            node.check(outputs, self.name)
        cts = []
        for k in outputs:
            ct = waiting[k]
            if ct.__class__ is not np.ndarray:
                ct = computed(ct, program.avals[program.roots[k]].dtype)
            cts.append(ct)
        way.hot.runs += 1
        gradients = way.pull(node.residual[1], cts)
        wants, links = way.wants, node.links
        if not self.retain:
            if way.whole:
                node.forget()
            else:
                node.free(outputs)
        if len(wants) == 1 and not self.heap:
            link = links[wants[0]]
            if link.__class__ is tuple:
                return link[0], {link[1]: gradients[0]}
        for i, gradient in zip(wants, gradients, strict=True):
            self.send(links[i], gradient)
        return None, waiting

    def _in_stretches(self, node: Any, waiting: dict[int, Any], sought: dict[int, Any]) -> None:
        """Pull a node with watched slots: to each of them, the latest first, and on from there."""
        program, watched = node.program, node.watched or {}
        reach = 0
        for k in waiting:
            reach |= program.flows[program.roots[k]]
        marks = [slot for slot in sorted({*watched, *sought}, reverse=True) if reach >> slot & 1]
        if self.reach is not None:
            marks = [slot for slot in marks if slot in sought or self.reach.passes(node, slot)]
        stops = {slot for slot in marks if slot in watched and watched[slot].hooks}
        arrived: dict[int, Any] = {}
        given: dict[int, Any] = {}
        for k, ct in waiting.items():
            slot = program.roots[k]
            (arrived if slot in stops else given)[slot] = ct
        self._stretch(node, given, marks, stops, arrived)
        for place, slot in enumerate(marks):
            if slot not in arrived:
                continue
            gradient = arrived.pop(slot)
            if slot in stops:
                gradient = hooked(watched[slot].hooks, gradient)
            if slot in watched:
                self._keep(watched[slot], gradient, node, slot)
            if slot in sought:
                self.found[id(sought[slot])] = gradient
            if slot in stops:
                self._stretch(node, {slot: gradient}, marks[place + 1 :], stops, arrived)

    def _stretch(
        self, node: Any, given: dict[int, Any], marks: list[int], stops: set[int], arrived: dict[int, Any]
    ) -> None:
        """Pull cotangents of some slots to the sources of a node, which are sent on, and to `marks`."""
        program = node.program
        reach = 0
        for slot in given:
            reach |= program.flows[slot]
        sources = [
            i for i, t in enumerate(program.targets) if reach >> t & 1 and self._interesting(node.links[i])
        ]
        marks = [slot for slot in marks if reach >> slot & 1]
        targets = (*marks, *[program.targets[i] for i in sources])
        if not targets:
            return
        pulled = self._pull_between(node, given, targets, tuple([slot for slot in marks if slot in stops]))
        if self.trace.probe is not None:
            self.trace.probe.__self__.backward(node, given, pulled)
        for slot, gradient in zip(marks, pulled, strict=False):
            arrived[slot] = self._plus(arrived[slot], gradient) if slot in arrived else gradient
        for i, gradient in zip(sources, pulled[len(marks) :], strict=True):
            self.send(node.links[i], gradient)

    def _pull_between(
        self, node: Any, given: dict[int, Any], targets: tuple[int, ...], stops: tuple[int, ...]
    ) -> list[Any]:
        if not self.create:
            program = node.program
            plain = {slot: computed(ct, program.avals[slot].dtype) for slot, ct in given.items()}
            with under(node.settings):
                return program.pull_between(node.values, plain, targets, stops)
        return record_pull(node, given, targets, stops)

    def _is_met(self, node: Any) -> bool:
        """Whether something else arrives at a node, or is before it."""
        return id(node) in self.cotangents or bool(self.heap and -self.heap[0][0] >= node.serial)

    def _interesting(self, link: Any) -> bool:
        if self.wanted is None:
            return True
        if isinstance(link, tuple):
            return link[0].serial >= self.floor
        return any(link is w for w in self.wanted)

    def _pull(self, node: Any, cotangents: dict[int, Any], wants: tuple[int, ...]) -> list[Any]:
        program = node.program
        if not wants:
            return []
        if self.create:
            given = {program.roots[k]: ct for k, ct in cotangents.items()}
            return record_pull(node, given, tuple([program.targets[i] for i in wants]), ())
        plain = {k: computed(ct, program.avals[program.roots[k]].dtype) for k, ct in cotangents.items()}
        sums: list[Any] = [None] * len(wants)
        for place, i in enumerate(wants):
            link = node.links[i]
            if not isinstance(link, tuple) and id(link) in self.leaves:
                leaf, known = self.leaves.pop(id(link))
                # Donated: only what nobody else holds (here: the name, and the argument of getrefcount).
                if isinstance(known, jax.Array) and getrefcount(known) == 2 and not is_lent(known):
                    sums[place] = known
                else:
                    self.leaves[id(link)] = (leaf, known)
        with under(node.settings):
            return program.pull(node.values, node.residual, plain, wants, sums)

    def _keep(self, watch: Watch, gradient: Any, node: Any, slot: int) -> None:
        for ref in watch.keep:
            tensor = ref()
            if tensor is not None and _is_at(tensor, node, slot):
                tensor._g = own(gradient) if tensor._g is None else tensor._g + as_tensor(gradient)


def _is_straight(node: Any, x64: bool, settings: Any) -> bool:
    """Whether a node was run by the first tier under these settings, and nobody watches it."""
    residual = node.residual
    return (
        residual is not None
        and residual[0] == "env"
        and node.watched is None
        and node.settings == settings
        and node.program.x64 == x64
    )


def _is_at(tensor: Any, node: Any, slot: int) -> bool:
    """Whether a tensor is (still) a slot of a node, or, for None, of the open recording."""
    if is_recorded(tensor):
        return node is None and tensor._s.slot == slot
    return node is not None and tensor._n is node and node.program.roots[tensor._k] == slot
