"""Colours, markers and numbers as the table, the figures and the page all show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ._results import Comparison, Entry

Dash = Literal["-", "--", ":", "-."]

# Okabe and Ito's colours, which the colour-blind can tell apart; yellow darkened and black made grey, so that each
# can be read on white and on black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#A89A1E", "#7A7F87")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Look:
    """How one optimizer is drawn, everywhere."""

    colour: str
    marker: str
    dash: Dash


def looks(comparison: Comparison) -> dict[str, Look]:
    """By label, in the order of the command line; after eight, colours come again with other dashes."""
    return {
        entry.label: Look(
            COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i // len(COLOURS) % len(DASHES)]
        )
        for i, entry in enumerate(comparison.entries)
    }


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: `0.975`, `1.2e-05`, a dash for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    return f"{value:#.{digits}g}".removesuffix(".") if abs(value) < 10**digits else f"{value:.0f}"


def rate(value: float | None) -> str:
    """A learning rate as one would type it."""
    return "-" if value is None else f"{value:g}"


def metric(entry: Entry) -> str:
    """The metric at the best rate, and its spread over seeds."""
    trial = entry.best_trial
    if trial is None:
        return "diverged"
    spread = f" ± {trial.metric_spread:.2g}" if len(trial.metrics) > 1 else ""
    return f"{number(trial.metric, 4)}{spread}"


def row(entry: Entry) -> tuple[str, ...]:
    """The cells after rank and name: metric, final loss, best rate, steps to target, seconds, bytes a parameter."""
    trial = entry.best_trial
    return (
        metric(entry),
        number(trial.final_loss) if trial else "-",
        rate(trial.rate) + ("*" if entry.at_edge else "") if trial else "-",
        "-" if entry.steps_to_target is None else f"{entry.steps_to_target}",
        f"{entry.run_seconds:.2f}",
        f"{entry.compile_seconds:.2f}",
        f"{entry.state_bytes:.4g}",
    )


def headers(comparison: Comparison) -> tuple[str, ...]:
    """Headers of `row`'s cells."""
    arrow = "↑" if comparison.higher_is_better else "↓"
    target = "" if comparison.target is None else f" {number(comparison.target)}"
    return (
        f"{comparison.metric} {arrow}",
        "training loss",
        "best lr",
        f"steps to loss{target}",
        "run, s",
        "compile, s",
        "state, B/param",
    )


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know to read the table right."""
    seeds = "1 seed" if comparison.seeds == 1 else f"{comparison.seeds} seeds"
    lines = [
        f"{comparison.metric}: mean and deviation over {seeds} at the best learning rate, which is the one with the "
        "lowest final training loss (last tenth of the steps). The ranking had no part in choosing it."
    ]
    if not comparison.target_is_given and comparison.target is not None:
        lines.append("The target loss is the median of the final training losses; --target sets another.")
    if any(entry.at_edge for entry in comparison.entries):
        lines.append("* the best rate is an end of the sweep: a better one may lie outside it.")
    lines += [f"{label} does not suit this problem: {reason}" for label, reason in comparison.failed.items()]
    if comparison.not_run:
        lines.append(f"Interrupted. Not run: {', '.join(comparison.not_run)}.")
    return lines
