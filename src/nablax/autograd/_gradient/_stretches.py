"""Through a node some of whose slots are watched: hooks, retain_grad, inputs of `grad`.

It is pulled in stretches. The first goes from the cotangents that arrived to the node's sources and to its watched
slots, and stops at those with hooks; then each of these, the latest first, has its complete gradient, calls its hooks,
and is where the next stretch starts.
"""

from __future__ import annotations

from typing import Any

from .._ground._settings import under
from .._path._recorded import as_tensor, is_recorded
from .._segment._node import Watch
from ._cotangents import computed, own
from ._hooks import hooked
from ._recorded_pull import record_pull


def pull_in_stretches(walk: Any, node: Any, waiting: dict[int, Any], sought: dict[int, Any]) -> None:
    """Pull a node with watched slots: to each of them, the latest first, and on from there."""
    program, watched = node.program, node.watched or {}
    reach = 0
    for k in waiting:
        reach |= program.flows[program.roots[k]]
    marks = [slot for slot in sorted({*watched, *sought}, reverse=True) if reach >> slot & 1]
    if walk.reach is not None:
        marks = [slot for slot in marks if slot in sought or walk.reach.passes(node, slot)]
    stops = {slot for slot in marks if slot in watched and watched[slot].hooks}
    arrived: dict[int, Any] = {}
    given: dict[int, Any] = {}
    for k, ct in waiting.items():
        slot = program.roots[k]
        (arrived if slot in stops else given)[slot] = ct
    _stretch(walk, node, given, marks, stops, arrived)
    for place, slot in enumerate(marks):
        if slot not in arrived:
            continue
        gradient = arrived.pop(slot)
        if slot in stops:
            gradient = hooked(watched[slot].hooks, gradient)
        if slot in watched:
            keep(watched[slot], gradient, node, slot)
        if slot in sought:
            walk.found[id(sought[slot])] = gradient
        if slot in stops:
            _stretch(walk, node, {slot: gradient}, marks[place + 1 :], stops, arrived)


def _stretch(
    walk: Any, node: Any, given: dict[int, Any], marks: list[int], stops: set[int], arrived: dict[int, Any]
) -> None:
    """Pull cotangents of some slots to the sources of a node, which are sent on, and to `marks`."""
    program = node.program
    reach = 0
    for slot in given:
        reach |= program.flows[slot]
    sources = [i for i, t in enumerate(program.targets) if reach >> t & 1]
    if walk.reach is not None:
        sources = [i for i in sources if walk.reach.leads(node.links[i])]
    marks = [slot for slot in marks if reach >> slot & 1]
    targets = (*marks, *[program.targets[i] for i in sources])
    if not targets:
        return
    pulled = _pull_between(walk, node, given, targets, tuple([slot for slot in marks if slot in stops]))
    if walk.trace.probe is not None:
        walk.trace.probe.__self__.backward(node, given, pulled)
    for slot, gradient in zip(marks, pulled, strict=False):
        arrived[slot] = walk.plus(arrived[slot], gradient) if slot in arrived else gradient
    for i, gradient in zip(sources, pulled[len(marks) :], strict=True):
        walk.send(node.links[i], gradient)


def _pull_between(
    walk: Any, node: Any, given: dict[int, Any], targets: tuple[int, ...], stops: tuple[int, ...]
) -> list[Any]:
    if not walk.create:
        program = node.program
        plain = {slot: computed(ct, program.avals[slot].dtype) for slot, ct in given.items()}
        with under(node.settings):
            return program.pull_between(node.values, plain, targets, stops)
    return record_pull(node, given, targets, stops)


def keep(watch: Watch, gradient: Any, node: Any, slot: int) -> None:
    """Leave a gradient in `.grad` of the tensors that keep theirs."""
    for ref in watch.keep:
        tensor = ref()
        if tensor is not None and _is_at(tensor, node, slot):
            tensor._g = own(gradient) if tensor._g is None else tensor._g + as_tensor(gradient)


def _is_at(tensor: Any, node: Any, slot: int) -> bool:
    """Whether a tensor is (still) a slot of a node, or, for None, of the open recording."""
    if is_recorded(tensor):
        return node is None and tensor._s.slot == slot
    return node is not None and tensor._n is node and node.program.roots[tensor._k] == slot
