"""How far each learning rate is followed.

A grid runs all to the end, and so does Optuna, which chooses them itself (`_suggest.py`). Halving (successive halving:
Jamieson & Talwalkar 2016, arXiv:1502.07943, Algorithm 1, with a third kept at a time as in Li et al. 2018,
arXiv:1603.06560) runs all for a part, and goes on with the better third, so that most of the steps go to good rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable

SEARCHES = ("grid", "halving", "optuna")
KEPT = 3  # one of so many goes on


def rungs(search: str, rates: int, stretches: int) -> dict[int, int]:
    """How many rates go on after some of the stretches: {stretches done: rates that go on}.

    Example:
      >>> rungs("halving", 11, 20)
      {2: 4, 7: 2}
    """
    if search != "halving":
        return {}
    levels = int(math.log(rates, KEPT) + 1e-9)
    found: dict[int, int] = {}
    for level in range(levels):
        rates = -(-rates // KEPT)
        found[max(1, round(stretches / KEPT ** (levels - level)))] = rates
    return found


def survivors(score: Callable[[int], float], alive: list[int], kept: int) -> list[int]:
    """The `kept` with the lowest score, in their order; those without a finite score only if nothing else is left."""
    ranked = sorted(alive, key=lambda i: (not math.isfinite(score(i)), score(i)))
    return sorted(ranked[:kept])


def cost(search: str, rates: int, stretches: int) -> int:
    """Stretches that all rates together run."""
    alive, total = rates, 0
    for done in range(1, stretches + 1):
        total += alive
        alive = rungs(search, rates, stretches).get(done, alive)
    return total
