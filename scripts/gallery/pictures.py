"""The pictures of the gallery: one a family of optimizers, one a schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from scripts.drawing import COLOURS, GREY, INK, PALE, Panel, legend_of, picture

from .entries import Entry, names
from .runs import DIGITS_STEPS, EVERY, START, STEEPNESS, Run


def family(entries: Sequence[Entry], runs: Sequence[Run], reference: Run) -> str:
    """Paths and learning curves of a family, and Adam's curve in grey."""
    valley = Panel(
        36, 34, 330, 230, (-2.2, 2.2), (-0.8, 2.6), title="A narrow valley", x_ticks=(-2, -1, 0, 1, 2),
        y_ticks=(0, 1, 2), grid=False,
    )  # fmt: skip
    for xs, ys in _contours():
        valley.line(xs, ys, PALE, 0.9)
    digits = Panel(
        424, 34, 280, 230, (0, DIGITS_STEPS), (1e-5, 3.0), log_y=True, title="Digits: training loss",
        x_label="gradients", x_ticks=(0, 100, 200, 300, 400),
        y_ticks=((1e-5, "1e-5"), (1e-4, "1e-4"), 1e-3, 1e-2, 1e-1, 1),
    )  # fmt: skip
    steps = np.arange(len(reference.curve)) * EVERY
    digits.line(steps, reference.curve, GREY, 1.2)
    shown = legend_of([_label(entry, run) for entry, run in zip(entries, runs, strict=True)])
    for (_, colour, dash), run in zip(shown, runs, strict=True):
        valley.line(run.path[:, 0], run.path[:, 1], colour, 1.5)
        digits.line(steps, run.curve, colour, 2, dash)
    for (_, colour, _), run in zip(shown, runs, strict=True):
        if np.all(np.isfinite(run.path[-1])):
            valley.dot(*run.path[-1], colour, 4)
    valley.dot(*START, INK, 3.5)
    valley.dot(1, 1, INK, 5, hollow=True)
    what = ", ".join(entry.name for entry in entries)
    rows = 1 + sum(6.6 * len(text) + 54 for text, _, _ in shown) // 690
    return picture(
        716, 312 + 18 * rows, [valley, digits], shown, f"{what}: a path in a valley, and learning curves"
    )


def schedule(name: str, call: str) -> str:
    """The values of a schedule over the counts 0, ..., 100."""
    counts = np.arange(101)
    values = [float(eval(call, names())(int(t))) for t in counts]
    panel = Panel(
        36,
        14,
        330,
        120,
        (0, 100),
        (0, 1.08),
        x_ticks=(0, 25, 50, 75, 100),
        y_ticks=(0, 0.5, 1),
        x_label="updates",
    )
    panel.line(counts, values, COLOURS[0], 2.2)
    return picture(384, 178, [panel], label=f"{name} over 100 updates")


def _label(entry: Entry, run: Run) -> str:
    if math.isnan(run.digits_rate):
        return entry.name
    return f"{entry.name} ({run.valley_rate:g}; {run.digits_rate:g})"


@cache
def _contours() -> list[tuple[np.ndarray, np.ndarray]]:
    """Lines of equal loss: y = x^2 +- sqrt((c - (1 - x)^2) / steepness), which close where the root is zero."""
    lines = []
    for level in (0.3, 2.0, 8.0, 25.0, 80.0):
        half = np.pi * np.linspace(-1, 1, 121)
        x = 1 + level**0.5 * np.sin(half)
        y = x**2 + (level / STEEPNESS) ** 0.5 * np.cos(half)
        lines.append((x, y))
    return lines
