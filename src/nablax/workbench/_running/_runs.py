"""What one optimizer did, run by run; a file holds it.

A run is one learning rate with one seed. Runs of one optimizer are of one length, unless a search stopped them.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 2000  # of a record; a run of more steps is recorded as the means of pieces

_ARRAYS = ("rates", "seeds", "done", "ends", "losses", "ratios", "metric_steps", "metrics")
_FACTS = (
    "label",
    "optimizer",
    "options",
    "schedule",
    "steps",
    "compile_seconds",
    "run_seconds",
    "state_bytes",
)


@dataclass(frozen=True, eq=False)
class Runs:
    """All runs of one optimizer, n of them.

    Attributes:
      label, optimizer, options, schedule: as given, and taken apart.
      steps: the length of a whole run.
      rates, seeds, done: of each run: learning rate, seed, steps done. float64, int64, int64 (n,).
      ends: int64 (points,); point i is the mean over the steps from ends[i - 1] to ends[i].
      losses: training loss before each step, float32 (n, points); NaN past a run's end.
      ratios: norm of the update over norm of the parameters, likewise.
      metric_steps: steps done at each look at the held-out metric, int64 (looks,).
      metrics: float32 (n, looks); None without `evaluate`.
      compile_seconds, run_seconds: wall time of all runs together.
      state_bytes: of the optimizer's state, for each number among the parameters.
    """

    label: str
    optimizer: str
    options: dict[str, Any]
    schedule: str | None
    steps: int
    rates: np.ndarray
    seeds: np.ndarray
    done: np.ndarray
    ends: np.ndarray
    losses: np.ndarray
    ratios: np.ndarray
    metric_steps: np.ndarray
    metrics: np.ndarray | None
    compile_seconds: float
    run_seconds: float
    state_bytes: float

    @property
    def pairs(self) -> set[tuple[float, int]]:
        """The rate and the seed of each run."""
        return set(zip(self.rates.tolist(), self.seeds.tolist(), strict=True))

    @property
    def step_seconds(self) -> float:
        """Of one step of one run, on average."""
        return self.run_seconds / max(int(self.done.sum()), 1)

    def joined(self, other: Runs) -> Runs:
        """With the runs of the other that are not here yet; both of one length."""
        new = [
            i for i, pair in enumerate(zip(other.rates, other.seeds, strict=True)) if pair not in self.pairs
        ]
        share = len(new) / max(len(other.rates), 1)

        def stacked(name: str) -> Any:
            mine, theirs = getattr(self, name), getattr(other, name)
            return None if mine is None or theirs is None else np.concatenate([mine, theirs[new]])

        by_run = {name: stacked(name) for name in ("rates", "seeds", "done", "losses", "ratios", "metrics")}
        times = {
            "compile_seconds": self.compile_seconds + (other.compile_seconds if new else 0.0),
            "run_seconds": self.run_seconds + share * other.run_seconds,
        }
        return Runs(**{**vars(self), **by_run, **times})

    def save(self, path: Path) -> None:
        """Beside its place first, so that whoever looks finds a whole file."""
        facts = {name: getattr(self, name) for name in _FACTS}
        arrays = {name: value for name in _ARRAYS if (value := getattr(self, name)) is not None}
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with beside.open("wb") as file:
            np.savez_compressed(file, facts=np.asarray(json.dumps(facts)), **arrays)
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Runs:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file.get(name) for name in _ARRAYS}
            return cls(**json.loads(str(file["facts"])), **arrays)


def pieces(steps: int, points: int = POINTS) -> np.ndarray:
    """Ends of at most so many pieces of about equal length that cover all steps, int64."""
    return np.unique(np.linspace(0, steps, min(steps, points) + 1).round().astype(np.int64))[1:]


def means(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Means over the pieces that end there, along the last axis, float32."""
    starts = np.concatenate([[0], ends[:-1]])
    if len(ends) == values.shape[-1]:
        return values.astype(np.float32)
    sums = np.add.reduceat(values.astype(np.float64), starts, axis=-1)
    return (sums / (ends - starts)).astype(np.float32)


def smoothed(values: np.ndarray, part: int) -> np.ndarray:
    """Mean over the points up to each, as many as fit `part` times into the whole; fewer at the start. float64."""
    width = max(1, values.shape[-1] // part)
    ends = range(
        1, values.shape[-1] + 1
    )  # not by differences of sums, in which small values behind large ones are lost
    return np.stack(
        [values[..., max(0, end - width) : end].mean(axis=-1, dtype=np.float64) for end in ends], axis=-1
    )


def plain(value: Any) -> Any:
    """A value that JSON can say."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
