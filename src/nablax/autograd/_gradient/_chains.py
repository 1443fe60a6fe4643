"""Turns of a loop of tiny segments, several of which are pulled back by one program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._ground._settings import under
from .._program._forward import AGAIN
from .._segment._node import Node
from ._cotangents import computed

CHAINS = (8, 4, 2)  # turns whose backward is one program


def chain_from(
    node: Any, k: int, want: int, is_met: Callable[[Any], bool], name: str | None
) -> list[Any] | None:
    """This node and the next ones, if they are turns of one loop that hand one gradient to each other and to nobody
    else.

    Args:
      node: the latest, at whose output `k` a cotangent arrived.
      want: number of the target that its gradient goes to.
      is_met: whether something else arrives at a node.
      name: of the root, for messages.
    """
    program = node.program
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
            or node.watched
            or is_met(node)
        ):
            break
        node.check((k,), name)
        chain.append(node)
    length = next((n for n in CHAINS if n <= len(chain)), 0)
    return chain[:length] or None


def pull_chain(chain: list[Any], ct: Any, k: int, want: int, retain: bool) -> Any:
    """The cotangent behind the earliest of them."""
    program = chain[0].program
    ct = computed(ct, program.avals[program.roots[k]].dtype)
    with under(chain[0].settings):
        ct = program.pull_chain([node.values for node in chain], ct, k, want)
    if not retain:
        for node in chain:
            node.free((k,))
    return ct
