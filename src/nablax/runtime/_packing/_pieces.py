"""A vector cut into very many pieces, so that XLA's CPU compiler has few loops to compile.

That compiler builds equal loops once, but where a piece begins is a constant of the loop that reads it: 1,000 pieces
are 1,000 loops. So the vector is first cut into runs of pieces, and each run alike: a piece of the third run is read by
the loop that reads its like from the first. Two slices in sequence XLA would make one again, also over an optimization
barrier; it does not look into the branches of a conditional, though.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

MANY = 32  # pieces; fewer are compiled in a moment


def pieces(vector: Any, sizes: Sequence[int]) -> Sequence[Any]:
    """The vector in pieces of these sizes, in their order.

    A split's transpose joins: slices would each be padded and added. The barrier keeps XLA from fusing what makes the
    gradients of all pieces into the one loop that joins them, which takes minutes to compile.
    """
    count = run_length(sizes) if jax.default_backend() == "cpu" else len(sizes)
    if count == len(sizes):
        return lax.optimization_barrier(lax.split(vector, sizes))
    runs = [sizes[i : i + count] for i in range(0, len(sizes), count)]

    def cut(vector: Any) -> Sequence[Any]:
        return lax.split(vector, [sum(run) for run in runs])

    # Both branches do the same; XLA cannot know which it will be, so neither is taken out of the conditional.
    parts = lax.cond(vector[0] != vector[-1], cut, cut, vector)
    cuts = [lax.split(part, run) for part, run in zip(parts, runs, strict=True)]
    return lax.optimization_barrier(list(itertools.chain.from_iterable(cuts)))


def run_length(sizes: Sequence[int]) -> int:
    """How many pieces make a run, so that the fewest loops differ; all of them, where that does not save half."""

    def loops(count: int) -> int:
        runs = [sizes[i : i + count] for i in range(0, len(sizes), count)]
        found: set[tuple[int, int, int]] = set()
        for run in runs:
            starts = itertools.accumulate(run, initial=0)
            found.update((sum(run), start, size) for start, size in zip(starts, run, strict=False))
        return len(found) + len(runs)

    if len(sizes) < MANY or not sum(sizes):
        return len(sizes)
    root = math.isqrt(len(sizes))
    best = min(range(root // 2, 2 * root, 1 + root // 32), key=loops)
    return best if 2 * loops(best) <= len(sizes) else len(sizes)
