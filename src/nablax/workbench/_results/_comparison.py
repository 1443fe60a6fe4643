"""What a comparison found: a pure function of its settings and its runs. `results.json` holds it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from .._running import Runs
from ._interval import told_apart
from ._settings import Settings
from ._trial import Curves, Entry, Trial, best_of, trials_of


@dataclass(frozen=True)
class Comparison:
    """Everything about one comparison.

    Attributes:
      settings: what was decided before it ran; `target` is filled in.
      target_is_given: False where the target is the median of the final losses.
      entries: in the order of the command line.
      failed: why optimizers could not run on this problem, by label.
      not_run: labels of optimizers that are still to run.
    """

    settings: Settings
    target_is_given: bool
    entries: list[Entry]
    failed: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)

    def ranked(self) -> list[Entry]:
        """Best first by the metric at the best rate, ties by final loss; then those that diverged."""

        def order(entry: Entry) -> tuple[float, float, float]:
            trial = entry.best_trial
            if trial is None:
                return (1.0, 0.0, 0.0)
            return (0.0, -trial.metric if self.settings.higher_is_better else trial.metric, trial.final_loss)

        return sorted(self.entries, key=order)

    def places(self) -> list[tuple[int | None, Entry]]:
        """`ranked`, with the place of each: those whose metric reads the same share it; None where all diverged."""
        out: list[tuple[int | None, Entry]] = []
        for place, entry in enumerate(self.ranked(), start=1):
            before = out[-1] if out else (None, entry)
            tied = bool(out) and _shown(before[1]) == _shown(entry)
            out.append((None if entry.diverged else before[0] if tied else place, entry))
        return out

    def not_told_apart(self) -> list[Entry]:
        """Those behind the first place whose metric these seeds cannot tell from the first's: the 95 % t-interval of
        the difference, seed by seed, holds 0."""
        ranked = self.ranked()
        first = ranked[0].best_trial if ranked else None
        if first is None:
            return []
        ahead = {entry.label for place, entry in self.places() if place == 1}

        def close(trial: Trial) -> bool:
            theirs = dict(zip(trial.seeds, trial.metrics, strict=True))
            ours = dict(zip(first.seeds, first.metrics, strict=True))
            common = sorted(set(theirs) & set(ours))
            a, b = ([float(m[seed] or 0.0) for seed in common] for m in (theirs, ours))
            return told_apart(a, b) is False

        return [e for e in ranked if e.label not in ahead and (t := e.best_trial) is not None and close(t)]

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        settings = fields["settings"]
        target = settings["target"] and tuple(settings["target"])
        entries = [
            Entry(**{
                **entry,
                "trials": [Trial(**trial) for trial in entry["trials"]],
                "curves": entry["curves"] and Curves(**entry["curves"]),
            })
            for entry in fields["entries"]
        ]  # fmt: skip
        return cls(**{**fields, "settings": Settings(**{**settings, "target": target}), "entries": entries})


def summarise(settings: Settings, runs: Iterable[Runs], failed: dict[str, str] | None = None) -> Comparison:
    """The comparison that these runs make."""
    found = {r.label: r for r in runs}
    failed = failed or {}
    ordered = [found[label] for label in settings.optimizers if label in found]
    target = settings.target or _median_loss(ordered)
    return Comparison(
        settings=replace(settings, target=target),
        target_is_given=settings.target is not None,
        entries=[Entry.of(r, target, settings.higher_is_better) for r in ordered],
        failed=failed,
        not_run=[label for label in settings.optimizers if label not in found and label not in failed],
    )


def _median_loss(runs: list[Runs]) -> tuple[str, float] | None:
    finals: list[float] = []
    for r in runs:
        trials = trials_of(r)
        best = best_of(trials, r.steps)
        finals += [] if best is None else [trials[best].final_loss]
    return ("loss", float(f"{np.median(finals):.6g}")) if finals else None


def _shown(entry: Entry) -> Any:
    """The metric to the digits that tables show."""
    trial = entry.best_trial
    return None if trial is None else f"{trial.metric:.4g}"
