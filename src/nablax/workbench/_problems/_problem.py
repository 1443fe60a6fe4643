"""A problem: what the runner needs to know."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from nablax.core import ArgumentError

from .._catalogue import geometric


@dataclass(frozen=True)
class Problem:
    """What the runner needs to know.

    Attributes:
      name, summary: for people.
      init: key -> parameters.
      loss: (parameters, batch) -> scalar.
      batches: key -> the batch of one step (traced by JAX), or what gives the batches of one pass (see `streams`).
      evaluate: parameters -> the held-out metric, a scalar; None where there is none.
      metric: name of the metric.
      higher_is_better: of the metric.
      steps, rates: what a run without options does.
      target: for "steps to target", ("loss" or the metric's name, value); None takes the median of the final losses.
      streams: whether `batches` returns an iterable of batches.
      tokens: tokens in a batch, where the problem says so.
      outside: whether `evaluate` is plain Python, which JAX cannot trace: it is then called with NumPy arrays.
      source, text: path and text of the user's file; None for the problems that ship.
    """

    name: str
    summary: str
    init: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]
    batches: Callable[[Any], Any]
    evaluate: Callable[[Any], Any] | None = None
    metric: str = "final loss"
    higher_is_better: bool = False
    steps: int = 500
    rates: tuple[float, ...] = tuple(geometric(1e-4, 1.0, 9))
    target: tuple[str, float] | None = None
    streams: bool = False
    tokens: int | None = None
    outside: bool = False
    source: str | None = None
    text: str | None = None

    @property
    def fingerprint(self) -> str | None:
        """Of the user's file: another text is another problem."""
        return None if self.text is None else sha256(self.text.encode()).hexdigest()[:16]

    def read_target(self, given: Any, who: str) -> tuple[str, float]:
        """A target as people give one: a number, for the training loss, or {name: number}.

        Raises:
          ArgumentError: it is neither; the name is neither "loss" nor the metric's.
        """
        named = given if isinstance(given, dict) else {"loss": given}
        names = ["loss", *([self.metric] if self.evaluate else [])]
        (name, value), *more = named.items() or [("", math.nan)]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if more or not number:
            raise ArgumentError(f"{who} must be a number or {{name: number}}, got {given!r}.")
        if name not in names:
            raise ArgumentError(
                f"{who}: there is no {name!r} to reach; name {' or '.join(map(repr, names))}."
            )
        return name, float(value)
