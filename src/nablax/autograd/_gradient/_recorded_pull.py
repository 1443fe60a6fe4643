"""A pull through a node as an operation of the open recording: what create_graph differentiates again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._path._record import emit, record
from .._path._recorded import Recorded, as_tensor, is_recorded
from .._path._trace import local


def record_pull(
    node: Any, given: dict[int, Any], targets: tuple[int, ...], stops: tuple[int, ...]
) -> list[Any]:
    """Record a pull as an operation: on the inputs of the node, on its outputs, and on the cotangents."""
    program, slots = node.program, tuple(given)
    known = node.known(slots)
    at = tuple([slot for slot, _ in known])
    n = len(program.inputs) + len(known)

    def build() -> tuple[str, Callable[..., Any]]:
        return "backward", lambda *a: program.between(a[:n], list(a[n:]), slots, targets, stops, at)

    key = ("pull", program, slots, targets, stops, at)
    args = [*_shadows(node, slots), *[tensor for _, tensor in known], *map(as_tensor, given.values())]
    state = record(key, build, args)
    return [emit(local.trace, out) for out in state.outs or ()]


def _shadows(node: Any, given: Iterable[int]) -> list[Any]:
    """Tensors for the inputs of a node, as they were; those that some slots were computed from with their place in the
    graph."""
    program, reach, found = node.program, 0, []
    for slot in given:
        reach |= program.flows[slot]
    links = {t: link for t, link in zip(program.targets, node.links, strict=True) if reach >> t & 1}
    for slot, value in zip(program.inputs, node.values, strict=True):
        link = links.get(slot)
        if isinstance(link, Recorded) and not is_recorded(link) and link._v is value:
            found.append(link)
            continue
        shadow = as_tensor(value)
        if link is not None:
            shadow._n, shadow._k = link if isinstance(link, tuple) else (link, -1)
        found.append(shadow)
    return found
