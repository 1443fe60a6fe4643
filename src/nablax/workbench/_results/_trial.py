"""One optimizer at one learning rate, and at all of them.

Final loss: mean of the training loss over the last tenth of the steps. A run diverged if its loss or its metric was
ever NaN or infinite, or if its final loss lies above its first loss by more than ten times that. A rate counts only
if no seed diverged and all ran to the end. The best rate is that of the lowest final loss: the held-out metric has no
say in it, so it stays an honest measure for the ranking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._running import Runs, smoothed
from .._running._runs import means, pieces
from ._interval import half_width

CURVE_POINTS = 200


@dataclass(frozen=True)
class Trial:
    """One optimizer at one learning rate, over all seeds.

    Attributes:
      rate: the learning rate.
      seeds: the seeds.
      steps: done by each run; fewer than the whole where a search stopped the rate.
      final_losses, metrics: one for each seed; None where not finite. `metrics` are the final losses where the
        problem has no held-out metric.
      diverged: for each seed.
    """

    rate: float
    seeds: list[int]
    steps: int
    final_losses: list[float | None]
    metrics: list[float | None]
    diverged: list[bool]

    @property
    def final_loss(self) -> float:
        return _mean(self.final_losses)

    @property
    def metric(self) -> float:
        return _mean(self.metrics)

    @property
    def metric_half_width(self) -> float | None:
        """Half the 95 % t-interval of the metric over seeds; None for one seed."""
        return half_width([math.nan if m is None else m for m in self.metrics])


@dataclass(frozen=True)
class Curves:
    """At the best rate. steps: (points,), ends of pieces; losses, ratios: (seeds, points), means over them.

    metrics: (seeds, looks), at metric_steps (looks,); None without a held-out metric.
    """

    steps: list[int]
    losses: list[list[float | None]]
    ratios: list[list[float | None]]
    metric_steps: list[int]
    metrics: list[list[float | None]] | None


@dataclass(frozen=True)
class Entry:
    """One optimizer.

    Attributes:
      label: as given on the command line.
      optimizer, options, schedule: the same, taken apart.
      steps: of a whole run.
      trials: one for each rate, rising.
      best: index of the best rate's trial; None if every rate diverged.
      steps_to_target: steps until the training loss at the best rate, mean over seeds and over the last fiftieth of
        the steps, is at most the target, or the metric reaches it; None if it never did.
      compile_seconds, run_seconds: wall time of all rates and seeds together.
      step_seconds: of one step of one run.
      state_bytes: of the optimizer's state, for each parameter.
      curves: at the best rate; None if there is none.
    """

    label: str
    optimizer: str
    options: dict[str, Any]
    schedule: str | None
    steps: int
    trials: list[Trial]
    best: int | None
    steps_to_target: int | None
    compile_seconds: float
    run_seconds: float
    step_seconds: float
    state_bytes: float
    curves: Curves | None

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

    @classmethod
    def of(cls, runs: Runs, target: tuple[str, float] | None, higher_is_better: bool) -> Entry:
        """What these runs found; `target` as in `Settings`."""
        trials = trials_of(runs)
        best = best_of(trials, runs.steps)
        rows = None if best is None else np.flatnonzero(runs.rates == trials[best].rate)
        reached = None if rows is None or target is None else _steps_to(runs, rows, target, higher_is_better)
        return cls(
            label=runs.label, optimizer=runs.optimizer, options=runs.options, schedule=runs.schedule, steps=runs.steps,
            trials=trials, best=best, steps_to_target=reached,
            compile_seconds=round(runs.compile_seconds, 3), run_seconds=round(runs.run_seconds, 3),
            step_seconds=float(f"{runs.step_seconds:.4g}"), state_bytes=runs.state_bytes,
            curves=None if rows is None else _curves(runs, rows),
        )  # fmt: skip


def trials_of(runs: Runs) -> list[Trial]:
    """One for each rate, rising."""
    return [
        _trial(runs, rate, np.flatnonzero(runs.rates == rate)) for rate in sorted(set(runs.rates.tolist()))
    ]


def best_of(trials: list[Trial], steps: int) -> int | None:
    """Index of the trial with the lowest final loss among those that ran to the end without a diverged seed."""
    sound = [i for i, trial in enumerate(trials) if trial.steps == steps and not any(trial.diverged)]
    return min(sound, key=lambda i: trials[i].final_loss, default=None)


def _trial(runs: Runs, rate: float, rows: np.ndarray) -> Trial:
    rows = rows[np.argsort(runs.seeds[rows])]
    steps = int(runs.done[rows].min())
    losses = runs.losses[rows][:, runs.ends <= steps].astype(np.float64)
    final = losses[:, -max(1, losses.shape[-1] // 10) :].mean(axis=-1)
    first = losses[:, 0]
    finite, metric = np.isfinite(losses).all(axis=-1), final
    if runs.metrics is not None:
        looks = runs.metrics[rows][:, runs.metric_steps <= steps].astype(np.float64)
        finite &= np.isfinite(looks).all(axis=-1)
        metric = looks[:, -1]
    exploded = final > first + 10 * np.abs(first)
    return Trial(
        rate=rate,
        seeds=runs.seeds[rows].tolist(),
        steps=steps,
        final_losses=_finite(final),
        metrics=_finite(metric),
        diverged=[bool(d) for d in ~finite | exploded],
    )


def _curves(runs: Runs, rows: np.ndarray) -> Curves:
    coarse = pieces(len(runs.ends), CURVE_POINTS)
    return Curves(
        steps=runs.ends[coarse - 1].tolist(),
        losses=[_finite(c) for c in means(runs.losses[rows], coarse)],
        ratios=[_finite(c) for c in means(runs.ratios[rows], coarse)],
        metric_steps=runs.metric_steps.tolist(),
        metrics=None if runs.metrics is None else [_finite(m) for m in runs.metrics[rows]],
    )


def _steps_to(runs: Runs, rows: np.ndarray, target: tuple[str, float], higher_is_better: bool) -> int | None:
    name, value = target
    if name == "loss":
        reached = smoothed(runs.losses[rows].mean(axis=0), 50) <= value
        steps = runs.ends
    else:
        assert runs.metrics is not None
        mean = runs.metrics[rows].mean(axis=0)
        reached, steps = mean >= value if higher_is_better else mean <= value, runs.metric_steps
    return int(steps[np.argmax(reached)]) if reached.any() else None


def _mean(values: list[float | None]) -> float:
    return float(np.mean([math.nan if v is None else v for v in values]))


def _finite(values: np.ndarray) -> list[float | None]:
    """To six digits; None for what JSON cannot say."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]
