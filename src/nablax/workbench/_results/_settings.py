"""What a comparison is: everything that was decided before its first step. `comparison.json` holds it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .._problems import Problem

_MUST_AGREE = {
    "problem": "the problem",
    "fingerprint": "the text of the problem's file",
    "metric": "the metric",
    "budget": "the length of a run",
    "search": "the search",
}


@dataclass(frozen=True)
class Settings:
    """Of one comparison.

    Attributes:
      problem, source, fingerprint: name; path and fingerprint of the user's file if it is one.
      summary, metric, higher_is_better: of the problem.
      target: ("loss" or the metric's name, value) for "steps to target"; None takes the median of the final losses.
      budget: of one run: `400steps`, `2s`, `1e6tokens`.
      search: grid or halving.
      optimizers: as given on the command line.
      rates: learning rates, rising.
      seeds: how many, counted from 0.
      environment: versions and platform.
      started: time, ISO 8601, UTC.
    """

    problem: str
    source: str | None
    fingerprint: str | None
    summary: str
    metric: str
    higher_is_better: bool
    target: tuple[str, float] | None
    budget: str
    search: str
    optimizers: list[str]
    rates: list[float]
    seeds: int
    environment: dict[str, str]
    started: str

    @property
    def command(self) -> str:
        """What runs it again."""
        return self.command_for(self.optimizers, self.rates)

    def command_for(self, optimizers: list[str], rates: list[float]) -> str:
        """What runs these optimizers at these rates under the same conditions."""
        named = [word for text in optimizers for word in ("--optimizer", text)]
        target = [] if self.target is None else ["--target", f"{self.target[0]}={self.target[1]!r}"]
        search = [] if self.search == "grid" else ["--search", self.search]
        return shlex.join(
            ["nablax", "compare", self.source or self.problem, *named, "--lr", ",".join(map(repr, rates)),
             "--budget", self.budget, *search, "--seeds", str(self.seeds), *target]
        )  # fmt: skip

    def differs(self, other: Settings) -> str:
        """What keeps the two from being one comparison, in words; empty if nothing does."""
        return "; ".join(
            f"{words} ({getattr(self, name)!r} there, {getattr(other, name)!r} here)"
            if name != "fingerprint"
            else words
            for name, words in _MUST_AGREE.items()
            if getattr(self, name) != getattr(other, name)
        )

    @classmethod
    def of(cls, problem: Problem, **rest: object) -> Settings:
        """Of a comparison on this problem; `rest` are the other fields."""
        facts = {"target": problem.target} | rest
        return cls(
            problem=problem.name, source=problem.source, fingerprint=problem.fingerprint, summary=problem.summary,
            metric=problem.metric, higher_is_better=problem.higher_is_better, **facts,  # type: ignore[arg-type]
        )  # fmt: skip
