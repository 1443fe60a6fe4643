"""A sweep: one backward pass through what is recorded and then through the nodes, from the latest to the earliest."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import jax
import jax.numpy as jnp

from ._accumulate import accumulating, add_to
from ._hooks import hooked
from ._kernel import plus
from ._node import Freed, Node, resolve
from ._program import AGAIN
from ._record import emit, record, state_of
from ._recorded import Recorded, link_of
from ._segment import flush, realize
from ._trace import Trace, local
from ._trie import State
from ._values import as_tensor, is_recorded, one, shadows

CHAINS = (8, 4, 2)  # turns of a loop of tiny segments whose backward is one program


class Sweep:
    """One backward pass.

    Gradients that arrive at leaves are in `leaves`. `wanted` restricts it to some tensors: their gradients are then in
    `leaves`, and those of intermediates in `kept`.
    """

    def __init__(
        self, kind: type, create: bool, retain: bool, lazy: bool, wanted: Sequence[Any] | None
    ) -> None:
        self.kind = kind
        self.create = create
        self.retain = retain
        self.lazy = lazy
        self.wanted = None if wanted is None else list(wanted)
        self.trace: Trace = local.trace
        self.heap: list[tuple[int, int, Any]] = []
        self.cotangents: dict[int, dict[int, Any]] = {}  # id of a node -> output -> cotangent
        self.leaves: dict[int, tuple[Any, Any]] = {}  # id of a leaf -> leaf, gradient
        self.kept: dict[int, Any] = {}  # id of a wanted intermediate -> gradient
        self.name: str | None = None  # of the first root that has one, for messages

    # -- what the recording still holds ---------------------------------------------------------------------------

    def start(self, roots: Sequence[Any], cotangents: Sequence[Any]) -> None:
        """Send cotangents (tensors, arrays or None for one) into the graph of the roots."""
        trace = self.trace
        self.name = next((root._name for root in roots if root._name is not None), None)
        recorded, given = [], []
        for root, ct in zip(roots, cotangents, strict=True):
            if is_recorded(root):
                recorded.append(trace.source(root))
                given.append(None if ct is None else state_of(trace, ct))
        if recorded:
            self._recorded(recorded, given)
        for root, ct in zip(roots, cotangents, strict=True):
            if not is_recorded(root):
                if ct is None:
                    ct = one(root._a)
                self.send(link_of(root), ct)

    def _recorded(self, roots: list[State], cotangents: list[State | None]) -> None:
        trace = self.trace
        freed = trace.state.freed
        for root in roots:
            if root.mask & freed:
                Freed(root.where).check((), self.name)
        extra: dict[int, Any] = {}
        wanted = None
        if self.wanted is not None:
            ids = {id(w) for w in self.wanted}
            wanted = sum(
                1 << s for s, link in trace.links.items() if isinstance(link, tuple) or id(link) in ids
            )
            extra = {
                w._s.slot: w  # type: ignore[union-attr]
                for w in self.wanted
                if isinstance(w, Recorded) and is_recorded(w) and not w._r
            }
        for tensor in trace.keep:
            if is_recorded(tensor):
                extra[tensor._s.slot] = tensor
        before = trace.state
        state = trace.gradient(
            roots, cotangents, wanted, sum(1 << s for s in extra), self.retain, self.create
        )
        if len(roots) == 1 and cotangents[0] is None and wanted is None and not extra and not self.create:
            before.edges["gradient", roots[0], self.retain] = state  # where _quickly looks
        for slot, out in zip(state.targets, state.outs or (), strict=True):
            gradient = emit(trace, out, self.kind)
            if slot in extra:
                self._keep(extra[slot], gradient)
            if slot in trace.links:
                self.send(trace.links[slot], gradient)

    def _keep(self, tensor: Any, gradient: Any) -> None:
        self.kept[id(tensor)] = gradient
        if tensor._keep:
            tensor._g = gradient if tensor._g is None else tensor._g + gradient

    # -- the graph of nodes ---------------------------------------------------------------------------------------

    def send(self, link: Any, gradient: Any) -> None:
        """A gradient on its way to a leaf or to an output of a node."""
        if not isinstance(link, tuple):
            known = self.leaves.get(id(link))
            self.leaves[id(link)] = (link, gradient if known is None else self._plus(known[1], gradient))
            return
        node, k = link if link[0].redirect is None else resolve(*link)
        waiting = self.cotangents.get(id(node))
        if waiting is None:
            waiting = self.cotangents[id(node)] = {}
            heapq.heappush(self.heap, (-node.serial, id(node), node))
        waiting[k] = self._plus(waiting[k], gradient) if k in waiting else gradient

    def _plus(self, a: Any, b: Any) -> Any:
        if self.create or isinstance(a, Recorded) or isinstance(b, Recorded):
            return as_tensor(a, self.kind) + b
        return plus(a, b)

    def walk(self) -> None:
        """Go through the nodes, latest first."""
        if not self.heap:
            return
        if not self.create:
            flush(self.trace)
        while self.heap:
            _, _, node = heapq.heappop(self.heap)
            waiting = self.cotangents.pop(id(node))
            outputs = tuple(sorted(waiting))
            node.check(outputs, self.name)
            if node.hooks or node.keep or self.wanted is not None:
                for k in outputs:
                    waiting[k] = self._watched(node, k, waiting[k])
            wants = node.program.wants(outputs)
            if self.wanted is not None:
                wants = tuple([i for i in wants if self._interesting(node.links[i])])
            elif len(wants) == len(outputs) == 1 and not self.create and self.trace.probe is None:
                chain = self._chain(node, outputs[0], wants)
                if chain is not None:
                    self._pull_chain(chain, waiting[outputs[0]], outputs[0], wants[0])
                    continue
            cotangents = {k: waiting[k] for k in outputs}
            pulled = self._pull(node, cotangents, wants)
            if self.trace.probe is not None:
                self.trace.probe.__self__.backward(node, cotangents, pulled)
            for i, gradient in zip(wants, pulled, strict=True):
                self.send(node.links[i], gradient)
            if not self.retain:
                node.free(outputs)

    def _chain(self, node: Any, k: int, wants: tuple[int, ...]) -> list[Any] | None:
        """The next nodes, if they are turns of one loop that hand one gradient to each other and to nobody else."""
        program, want = node.program, wants[0]
        if node.residual is not AGAIN:
            return None
        chain = [node]
        while len(chain) < CHAINS[0]:
            link = node.links[want]
            if link.__class__ is not tuple or link[1] != k:
                break
            node = link[0]
            if (
                node.__class__ is not Node
                or node.program is not program
                or node.residual is not AGAIN
                or node.redirect is not None
                or node.hooks
                or node.keep
                or id(node) in self.cotangents
                or (self.heap and -self.heap[0][0] >= node.serial)
            ):
                break
            node.check((k,), self.name)
            chain.append(node)
        length = next((n for n in CHAINS if n <= len(chain)), 0)
        return chain[:length] or None

    def _pull_chain(self, chain: list[Any], ct: Any, k: int, want: int) -> None:
        program = chain[0].program
        ct = cast(realize(ct) if isinstance(ct, Recorded) else ct, program, k)
        link = chain[-1].links[want]
        ct = program.pull_chain([node.values for node in chain], ct, k, want)
        if not self.retain:
            for node in chain:
                node.free((k,))
        self.send(link, ct)

    def _interesting(self, link: Any) -> bool:
        return self.wanted is None or isinstance(link, tuple) or any(link is w for w in self.wanted)

    def _watched(self, node: Any, k: int, gradient: Any) -> Any:
        """Hooks and kept gradients of an output of a node."""
        gradient = hooked((node.hooks or {}).get(k), gradient, self.kind)
        for tensor in [] if node.keep is None else node.keep.get(k, ()):
            if (alive := tensor()) is not None:
                self._keep(alive, as_tensor(gradient, self.kind))
        for w in self.wanted or ():
            if w._s is None and w._n is node and w._k == k:
                self.kept[id(w)] = gradient
        return gradient

    def _pull(self, node: Any, cotangents: dict[int, Any], wants: tuple[int, ...]) -> list[Any]:
        program = node.program
        if not wants:
            return []
        if self.create:
            given = tuple(cotangents)
            n = len(program.inputs)

            def build() -> tuple[str, Callable[..., Any]]:
                return "backward", lambda *a: program.pull_again(a[:n], list(a[n:]), given, wants)

            state = record(
                ("pull", program, given, wants), build, [*shadows(node, self.kind), *cotangents.values()]
            )
            return [emit(self.trace, out, self.kind) for out in state.outs or ()]
        plain = {
            k: cast(realize(ct) if isinstance(ct, Recorded) else ct, program, k)
            for k, ct in cotangents.items()
        }
        sums: list[Any] = [None] * len(wants)
        for place, i in enumerate(wants):
            link = node.links[i]
            if not isinstance(link, tuple) and id(link) in self.leaves:
                leaf, known = self.leaves.pop(id(link))
                # Donated: only what nobody else holds (here: the name, and the argument of getrefcount).
                if isinstance(known, jax.Array) and getrefcount(known) == 2:
                    sums[place] = known
                else:
                    self.leaves[id(link)] = (leaf, known)
        return program.pull(node.values, node.residual, plain, wants, sums)

    # -- the leaves -----------------------------------------------------------------------------------------------

    def accumulate(self) -> None:
        """Add what arrived to `.grad` of the leaves; one thread at a time, for threads may share leaves."""
        with accumulating:
            self._accumulate()

    def _accumulate(self) -> None:
        while self.leaves:  # emptied, so that what is only added to a buffer is no result of the program
            leaf, gradient = self.leaves.pop(next(iter(self.leaves)))
            gradient = hooked(leaf._hooks, gradient, self.kind)
            if leaf._g is None:
                leaf._g = as_tensor(gradient, self.kind)
            elif self.create:
                leaf._g = leaf._g + gradient
            else:
                add_to(self.trace, leaf._g, gradient)
        leaf = gradient = None
        if not self.lazy and not self.create:
            flush(self.trace)


def cast(ct: Any, program: Any, k: int) -> Any:
    """A cotangent in the dtype of the output it belongs to."""
    dtype = program.avals[program.roots[k]].dtype
    return ct if ct.dtype == dtype else jnp.asarray(ct, dtype)
