"""What a comparison found: runs summarised, the best rate chosen, optimizers ranked, and all of it as JSON.

Final loss: mean of the training loss over the last tenth of the steps. A run diverged if its loss or its metric was
ever NaN or infinite, or if its final loss lies above its first loss by more than ten times that. A rate counts only
if no seed diverged. The best rate is that of the lowest final loss: the held-out metric has no say in it, so it stays
an honest measure for the ranking.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._optimizers import Spec
from ._problems import Problem
from ._runner import Sweep

CURVE_POINTS = 50


@dataclass(frozen=True)
class Trial:
    """One optimizer at one learning rate, over all seeds.

    Attributes:
      rate: the learning rate.
      final_losses, metrics: one for each seed; None where not finite. `metrics` are the final losses where the
        problem has no held-out metric.
      diverged: for each seed.
      loss_curves: (seeds, points), means of the training loss over the stretches that end at `Comparison.loss_steps`.
      metric_curves: (seeds, points), at `Comparison.metric_steps`; None without a held-out metric.
    """

    rate: float
    final_losses: list[float | None]
    metrics: list[float | None]
    diverged: list[bool]
    loss_curves: list[list[float | None]]
    metric_curves: list[list[float | None]] | None

    @property
    def final_loss(self) -> float:
        return _mean(self.final_losses)

    @property
    def metric(self) -> float:
        return _mean(self.metrics)

    @property
    def metric_spread(self) -> float:
        """Standard deviation of the metric over seeds."""
        return float(np.std([math.nan if m is None else m for m in self.metrics]))


@dataclass(frozen=True)
class Entry:
    """One optimizer.

    Attributes:
      label: as given on the command line.
      optimizer, options, schedule: the same, taken apart.
      trials: one for each rate, in the order of rates.
      best: index of the best rate's trial; None if every rate diverged.
      steps_to_target: steps until the training loss at the best rate, mean over seeds and over the last fiftieth of
        the steps, is at most the target; None if it never was.
      compile_seconds, run_seconds: wall time of all rates and seeds together.
      state_bytes: of the optimizer's state, for each parameter.
    """

    label: str
    optimizer: str
    options: dict[str, Any]
    schedule: str | None
    trials: list[Trial]
    best: int | None
    steps_to_target: int | None
    compile_seconds: float
    run_seconds: float
    state_bytes: float

    @property
    def diverged(self) -> bool:
        """Whether every rate diverged."""
        return self.best is None

    @property
    def best_trial(self) -> Trial | None:
        return None if self.best is None else self.trials[self.best]

    @property
    def at_edge(self) -> str | None:
        """'lowest' or 'highest' if the best rate is an end of the sweep, so that a better one may lie outside."""
        if self.best is None or len(self.trials) < 3:
            return None
        return {0: "lowest", len(self.trials) - 1: "highest"}.get(self.best)


@dataclass(frozen=True)
class Comparison:
    """Everything about one comparison; `results.json` holds it.

    Attributes:
      problem, source: name, and path of the user's file if it is one.
      summary, metric, higher_is_better: of the problem.
      target, target_is_given: training loss for "steps to target"; else the median of the final losses.
      steps, seeds, rates: what was run.
      loss_steps, metric_steps: where the curves' points lie.
      entries: in the order of the command line.
      not_run: labels of optimizers that Ctrl-C left out.
      failed: why others could not run on this problem, by label.
      environment: versions and platform.
      started: time, ISO 8601, UTC.
      command: what reproduces the comparison.
    """

    problem: str
    source: str | None
    summary: str
    metric: str
    higher_is_better: bool
    target: float | None
    target_is_given: bool
    steps: int
    seeds: int
    rates: list[float]
    loss_steps: list[int]
    metric_steps: list[int]
    entries: list[Entry]
    not_run: list[str]
    environment: dict[str, str]
    started: str
    command: str
    failed: dict[str, str] = field(default_factory=dict)

    def places(self) -> list[tuple[int | None, Entry]]:
        """`ranked`, with the place of each: those whose metric reads the same share it; None where all diverged."""
        out: list[tuple[int | None, Entry]] = []
        for place, entry in enumerate(self.ranked(), start=1):
            before = out[-1] if out else (None, entry)
            tied = bool(out) and _shown(before[1]) == _shown(entry)
            out.append((None if entry.diverged else before[0] if tied else place, entry))
        return out

    def ranked(self) -> list[Entry]:
        """Best first by the metric at the best rate, ties by final loss; then those that diverged."""

        def order(entry: Entry) -> tuple[float, float, float]:
            trial = entry.best_trial
            if trial is None:
                return (1.0, 0.0, 0.0)
            return (0.0, -trial.metric if self.higher_is_better else trial.metric, trial.final_loss)

        return sorted(self.entries, key=order)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Comparison:
        """Reads what `save` wrote."""
        fields = json.loads(path.read_text())
        for entry in fields["entries"]:
            entry["trials"] = [Trial(**trial) for trial in entry["trials"]]
        return cls(**{**fields, "entries": [Entry(**entry) for entry in fields["entries"]]})


def compare(
    problem: Problem, sweeps: list[tuple[Spec, Sweep]], rates: list[float], target: float | None, **rest: Any
) -> Comparison:
    """Summarises sweeps, at least one; `rest` are the other fields of `Comparison`."""
    steps = sweeps[0][1].losses.shape[-1]
    ends = _ends(steps)
    trials = [[_trial(sweep, i, rate, ends) for i, rate in enumerate(rates)] for _, sweep in sweeps]
    best = [_best(row) for row in trials]
    given = problem.target if target is None else target
    finals = [row[i].final_loss for row, i in zip(trials, best, strict=True) if i is not None]
    goal = given if given is not None else float(np.median(finals)) if finals else None
    entries = [
        Entry(
            label=spec.text,
            optimizer=spec.name,
            options={key: value if _plain(value) else str(value) for key, value in spec.options.items()},
            schedule=spec.schedule,
            trials=row,
            best=i,
            steps_to_target=None if i is None or goal is None else _steps_to(goal, sweep.losses[i]),
            compile_seconds=round(sweep.compile_seconds, 3),
            run_seconds=round(sweep.run_seconds, 3),
            state_bytes=sweep.state_bytes,
        )
        for (spec, sweep), row, i in zip(sweeps, trials, best, strict=True)
    ]
    return Comparison(
        problem=problem.name, source=problem.source, summary=problem.summary,
        metric=problem.metric, higher_is_better=problem.higher_is_better,
        target=goal, target_is_given=given is not None,
        steps=steps, rates=rates, loss_steps=[int(e) for e in ends], metric_steps=sweeps[0][1].metric_steps,
        entries=entries, **rest,
    )  # fmt: skip


def _ends(steps: int) -> np.ndarray:
    """Ends of at most CURVE_POINTS stretches of about equal length that cover all steps."""
    return np.unique(np.linspace(0, steps, min(steps, CURVE_POINTS) + 1).round().astype(int))[1:]


def _trial(sweep: Sweep, index: int, rate: float, ends: np.ndarray) -> Trial:
    losses = sweep.losses[index].astype(np.float64)  # (seeds, steps)
    metrics = None if sweep.metrics is None else sweep.metrics[index].astype(np.float64)
    final = losses[:, -_tail(losses.shape[-1], 10) :].mean(axis=-1)
    first = losses[:, 0]
    finite = np.isfinite(losses).all(axis=-1)
    if metrics is not None:
        finite &= np.isfinite(metrics).all(axis=-1)
    exploded = final > first + 10 * np.abs(first)
    starts = np.concatenate([[0], ends[:-1]])
    curves = np.stack([losses[:, a:b].mean(axis=-1) for a, b in zip(starts, ends, strict=True)], axis=-1)
    return Trial(
        rate=rate,
        final_losses=_finite(final),
        metrics=_finite(final if metrics is None else metrics[:, -1]),
        diverged=[bool(d) for d in ~finite | exploded],
        loss_curves=[_finite(c) for c in curves],
        metric_curves=None if metrics is None else [_finite(m) for m in metrics],
    )


def _tail(steps: int, part: int) -> int:
    return max(1, steps // part)


def _best(trials: list[Trial]) -> int | None:
    sound = [i for i, trial in enumerate(trials) if not any(trial.diverged)]
    return min(sound, key=lambda i: trials[i].final_loss, default=None)


def _steps_to(target: float, losses: np.ndarray) -> int | None:
    mean = losses.astype(np.float64).mean(axis=0)
    width = _tail(len(mean), 50)
    totals = np.concatenate([[0.0], np.cumsum(mean)])
    smooth = (totals[width:] - totals[:-width]) / width  # mean over the `width` steps that end at each step
    reached = np.flatnonzero(smooth <= target)
    return int(reached[0]) + width if len(reached) else None


def _mean(values: list[float | None]) -> float:
    return float(np.mean([math.nan if v is None else v for v in values]))


def _shown(entry: Entry) -> str | None:
    """The metric to the digits that tables show."""
    trial = entry.best_trial
    return None if trial is None else f"{trial.metric:.4g}"


def _finite(values: np.ndarray) -> list[float | None]:
    """To six digits; None for what JSON cannot say."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
