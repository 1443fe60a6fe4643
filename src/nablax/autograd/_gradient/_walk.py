"""A walk through the graph of nodes, from the latest to the earliest."""

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
from .._path._recorded import Recorded, as_tensor
from .._path._trace import Trace, local
from .._segment._flush import flush
from .._segment._node import Gone
from ._chains import chain_from, pull_chain
from ._cotangents import computed
from ._reach import Reach
from ._recorded_pull import record_pull
from ._stretches import pull_in_stretches


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
        self.reach: Reach | None = None  # where there are wanted tensors, the way to them
        self.name: str | None = None  # of the first root that has one, for messages

    def send(self, link: Any, gradient: Any) -> None:
        """A gradient on its way to a leaf or to an output of a node."""
        if not isinstance(link, tuple):
            known = self.leaves.get(id(link))
            self.leaves[id(link)] = (link, gradient if known is None else self.plus(known[1], gradient))
            return
        node, k = link
        waiting = self.cotangents.get(id(node))
        if waiting is None:
            waiting = self.cotangents[id(node)] = {}
            heapq.heappush(self.heap, (-node.serial, id(node), node))
        waiting[k] = self.plus(waiting[k], gradient) if k in waiting else gradient

    def plus(self, a: Any, b: Any) -> Any:
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
            sought = None if self.reach is None else self.reach.sought.get(id(node))
            if sought and isinstance(node, Gone):
                self.found.update({id(w): waiting[k] for k, w in sought.items() if k in waiting})
                if self.reach is not None and not self.reach.goes_on:
                    continue
            node.check(outputs, self.name)
            if node.watched or sought:
                pull_in_stretches(self, node, waiting, sought or {})
                if not self.retain:
                    node.free(outputs)
                continue
            wants = node.program.wants(outputs)
            if self.reach is not None:
                wants = tuple([i for i in wants if self.reach.leads(node.links[i])])
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
        way = program.guess
        if way is None or way.outputs != outputs:
            way = program.way(outputs)
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

    def _is_met(self, node: Any) -> bool:
        """Whether something else arrives at a node, or is before it."""
        return id(node) in self.cotangents or bool(self.heap and -self.heap[0][0] >= node.serial)

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
