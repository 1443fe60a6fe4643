"""Many small arrays of one kind cross the border of a compiled program as one.

Handing an array out of a program and into the next one costs the host a few microseconds each way, whatever its size.
The residuals of an unrolled loop are a hundred arrays of a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

FEWEST = 4  # arrays of one shape and dtype that are worth a copy
BIGGEST = 65_536  # elements: bigger arrays cost more to copy than to hand over

Plan = list[list[int]]  # for each array that crosses: which of the original ones it holds


def pack(arrays: Sequence[Any]) -> tuple[list[Any], Plan]:
    """The arrays, those of one shape and dtype stacked, and how to take them apart."""
    arrays = [jnp.asarray(array) for array in arrays]
    groups: dict[tuple, list[int]] = {}
    for i, array in enumerate(arrays):
        kind = (array.shape, array.dtype, getattr(array.aval, "weak_type", False), array.size <= BIGGEST)
        groups.setdefault(kind if kind[-1] else (kind, i), []).append(i)
    plan = []
    for members in groups.values():
        plan += [members] if len(members) >= FEWEST else [[i] for i in members]
    return [jnp.stack([arrays[i] for i in p]) if len(p) > 1 else arrays[p[0]] for p in plan], plan


def unpack(packed: Sequence[Any], plan: Plan) -> list[Any]:
    """The arrays that were packed, in their order."""
    found: dict[int, Any] = {}
    for array, members in zip(packed, plan, strict=True):
        found.update(zip(members, array if len(members) > 1 else [array], strict=True))
    return [found[i] for i in range(len(found))]
