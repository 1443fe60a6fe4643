"""How long one run is: in steps, in seconds, or in tokens."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from nablax.core import ArgumentError

from .._catalogue import Spec
from .._problems import Problem
from ._feed import feed
from ._program import Group, Program
from ._start import Start

_UNITS = {
    "steps": "steps",
    "step": "steps",
    "s": "s",
    "seconds": "s",
    "min": "min",
    "tokens": "tokens",
    "": "steps",
}
_PROBE = 10  # steps of a call that measures
_PROBE_SECONDS = 0.2


@dataclass(frozen=True)
class Budget:
    """Of one run. amount: positive. unit: steps, s, or tokens."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:g}{self.unit}"

    def steps(self, problem: Problem) -> int | None:
        """Its steps, the same for every optimizer; None for seconds, of which each optimizer makes what it can.

        Raises:
          ArgumentError: tokens, where the problem has none.
        """
        if self.unit == "s":
            return None
        if self.unit == "steps":
            return max(1, round(self.amount))
        return max(1, round(self.amount / tokens(problem)))


def parse_budget(text: str) -> Budget:
    """Reads `2000steps`, `2000`, `60s`, `2min`, `1e6tokens`.

    Raises:
      ArgumentError: another form; nothing positive.

    Example:
      >>> parse_budget("1e6 tokens")
      Budget(amount=1000000.0, unit='tokens')
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    try:
        amount, unit = float(found[1]) if found else math.nan, _UNITS.get(found[2].lower()) if found else None
    except ValueError:
        amount, unit = math.nan, None
    if unit is None or not (amount > 0 and math.isfinite(amount)):
        raise ArgumentError(
            f"compare: --budget takes a positive amount of steps, s, min or tokens, as 2000steps, 60s or 1e6tokens; "
            f"got {text!r}."
        )
    return Budget(amount * 60, "s") if unit == "min" else Budget(amount, unit)


def tokens(problem: Problem) -> int:
    """Tokens in a batch: what the problem says; else the entries of a batch of texts, integers with two axes or more;
    else the rows of the first leaf.

    Raises:
      ArgumentError: the batch has no rows.
    """
    if problem.tokens is not None:
        return problem.tokens
    made = problem.batches(jax.random.key(0))
    leaves = jax.tree.leaves(next(iter(made)) if problem.streams else made)
    texts = [leaf for leaf in leaves if np.ndim(leaf) >= 2 and np.issubdtype(_dtype(leaf), np.integer)]
    if texts:
        return int(np.size(texts[0]))
    if not leaves or np.ndim(leaves[0]) == 0:
        raise ArgumentError(
            f"compare: --budget in tokens: a batch of {problem.name} has no rows to count; set TOKENS, tokens in a "
            "batch, in its file."
        )
    return int(np.shape(leaves[0])[0])


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if isinstance(leaf, jax.Array) else np.asarray(leaf).dtype


def steps_in(seconds: float, problem: Problem, spec: Spec, start: Start) -> int:
    """How many steps a run of this optimizer makes in so many seconds, measured here, to two digits.

    Raises:
      Unsuited: see `Program`.
    """
    group = Group.of([1e-6], 1)
    batches = feed(problem, start.keys, _PROBE)
    data = next(batches)
    program = Program(problem, spec, start, data, steps=1 << 30, length=_PROBE, group=group)
    carry, first = program.blank(), 0
    timed = 0.0
    while timed < _PROBE_SECONDS:
        began = time.perf_counter() if first else math.inf  # the first call does not count
        carry, losses, *_ = program(carry, first, group, data)
        np.asarray(losses)
        data, first = next(batches), first + _PROBE
        timed += max(time.perf_counter() - began, 0.0) if first > _PROBE else 0.0
    steps = seconds * (first - _PROBE) / timed
    return max(1, int(float(f"{steps:.2g}")))
