"""The two figures: curves at the best rates, and what comes out at each learning rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .._results import Comparison, Curves, Entry
from .._running import smoothed
from . import _theme
from ._canvas import FILE, Style, decorate, frame, legend, panels
from ._canvas import png as png

SMOOTHING = 20  # a curve is the mean over the last twentieth of its points


def curves(comparison: Comparison, style: Style = FILE) -> Figure:
    """At the best rates: training loss against steps and seconds, the metric and the size of updates against steps."""
    sound = [entry for entry in comparison.ranked() if entry.curves is not None]
    metric = any(entry.curves.metrics for entry in sound if entry.curves)
    figure, axes = panels(style, ["loss", "seconds", *(["metric"] if metric else []), "ratio"], comparison)
    name, looks = comparison.settings.metric, _theme.looks(comparison)
    decorate(axes["loss"], style, "Training loss by steps", "steps", "training loss")
    decorate(axes["seconds"], style, "Training loss by time", "seconds of one run", "training loss")
    decorate(axes["ratio"], style, "Size of updates", "steps", "norm of update / norm of parameters")
    if metric:
        decorate(axes["metric"], style, name, "steps", name)
    shown: dict[str, list[float]] = {panel: [] for panel in axes}
    for place, entry in enumerate(sound):
        assert entry.curves is not None
        for panel, (x, seeds, part) in _lines(entry, entry.curves).items():
            look = looks[entry.label]
            shown[panel] += _curve(axes[panel], x, seeds, look, part, shift=place / len(sound))
    higher = comparison.settings.higher_is_better
    for panel, axis in axes.items():
        frame(axis, shown[panel], worse="low" if panel == "metric" and higher else "high",
              log=panel != "metric" or not higher)  # fmt: skip
        axis.set_xlim(left=0)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=panel != "seconds"))
        if not sound:
            axis.text(0.5, 0.5, "every run diverged", transform=axis.transAxes, ha="center", color=style.ink)
    legend(figure, comparison, style)
    return figure


def _lines(entry: Entry, found: Curves) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """By panel: x, the curve of each seed, and how many of its points are averaged, as a part of all."""
    steps = np.asarray(found.steps, float)
    losses, ratios = (np.asarray(x, float) for x in (found.losses, found.ratios))
    lines = {
        "loss": (steps, losses, SMOOTHING),
        "seconds": (steps * entry.step_seconds, losses, SMOOTHING),
        "ratio": (steps, ratios, SMOOTHING),
    }
    if found.metrics:
        lines["metric"] = (
            np.asarray(found.metric_steps, float),
            np.asarray(found.metrics, float),
            len(steps),
        )
    return lines


def _curve(
    axis: Any, x: np.ndarray, seeds: np.ndarray, look: _theme.Look, part: int, shift: float
) -> list[float]:
    """Draws the mean over seeds, smoothed, on the raw one, faint, within the range of the seeds; returns the values."""
    if seeds.shape[1] > part:
        axis.plot(x, seeds.mean(axis=0), color=look.colour, linewidth=0.7, alpha=0.3)
    smooth = smoothed(seeds, part)
    mean = smooth.mean(axis=0)
    axis.fill_between(x, smooth.min(axis=0), smooth.max(axis=0), color=look.colour, alpha=0.12, linewidth=0)
    every = max(1, len(x) // 6)
    axis.plot(
        x, mean, color=look.colour, linestyle=look.style, linewidth=1.7,
        marker=look.marker, markersize=5, markevery=(int(shift * every), every),
    )  # fmt: skip
    return mean.tolist()


def sensitivity(comparison: Comparison, style: Style = FILE) -> Figure:
    """Final loss and metric against learning rate, with the range over seeds.

    A cross above a panel is a rate at which a seed diverged; a hollow marker one that a search stopped; a small arrow
    points to a value beyond the axis.
    """
    ranked, looks = comparison.ranked(), _theme.looks(comparison)
    failing = [entry for entry in ranked if any(any(t.diverged) for t in entry.trials)]
    held_out = comparison.settings.metric != "final loss"
    figure, axes = panels(style, ["loss", *(["metric"] if held_out else [])], comparison, height=4.2)
    pad = 9 + 9 * len(failing) if failing else 6
    decorate(
        axes["loss"], style, "Training loss by learning rate", "learning rate", "final training loss", pad
    )
    if held_out:
        name = comparison.settings.metric
        decorate(axes["metric"], style, f"{name} by learning rate", "learning rate", name, pad)
    higher = comparison.settings.higher_is_better
    for panel, axis in axes.items():
        worse = "low" if panel == "metric" and higher else "high"
        points = [(e, t, *_range(t, panel)) for e in ranked for t in e.trials if not any(t.diverged)]
        values = [mean for _, _, mean, _, _ in points]
        low, high = frame(axis, values, worse=worse, log=panel == "loss" or not higher)
        axis.set_xscale("log")
        axis.set_xlim(min(comparison.settings.rates) / 1.4, max(comparison.settings.rates) * 1.4)
        for entry in ranked:
            mine = [(t, *rest) for e, t, *rest in points if e is entry]
            _responses(axis, entry, mine, looks[entry.label], style, low, high)
        _crosses(axis, failing, looks, style)
    legend(figure, comparison, style)
    return figure


def _range(trial: Any, panel: str) -> tuple[float, float, float]:
    values = [v for v in (trial.final_losses if panel == "loss" else trial.metrics) if v is not None]
    return (float(np.mean(values)), min(values), max(values)) if values else (math.nan,) * 3


def _responses(
    axis: Any, entry: Entry, found: list[Any], look: _theme.Look, style: Style, low: float, high: float
) -> None:
    rates = [trial.rate for trial, *_ in found]
    means, lows, highs = ([row[i] for row in found] for i in (1, 2, 3))
    axis.fill_between(rates, lows, highs, color=look.colour, alpha=0.12, linewidth=0)
    axis.plot(rates, means, color=look.colour, linestyle=look.style, linewidth=1.5)
    for trial, mean, *_ in found:
        beyond = mean > high or mean < low
        best = trial is entry.best_trial
        marker = ("^" if mean > high else "v") if beyond else look.marker
        axis.plot(
            trial.rate, min(max(mean, low), high), linestyle="", marker=marker, clip_on=not beyond,
            markersize=10 if best else 4 if beyond else 5, color=look.colour, zorder=5 if best else 3,
            markerfacecolor="none" if trial.steps < entry.steps else look.colour,
            markeredgecolor=style.ink if best else look.colour, markeredgewidth=1.2,
        )  # fmt: skip


def _crosses(axis: Any, failing: list[Entry], looks: dict[str, _theme.Look], style: Style) -> None:
    for height, entry in enumerate(reversed(failing)):
        rates = [t.rate for t in entry.trials if any(t.diverged)]
        offset = 7 + 9 * height
        for rate in rates:
            axis.annotate(
                "✕", (rate, 1), xycoords=("data", "axes fraction"), xytext=(0, offset), textcoords="offset points",
                ha="center", va="center", color=looks[entry.label].colour, fontsize=8, fontweight="bold",
                annotation_clip=False,
            )  # fmt: skip
    if failing:
        axis.annotate(
            "diverged", (0, 1), xycoords="axes fraction", xytext=(-4, 7), textcoords="offset points",
            ha="right", va="center", color=style.ink, fontsize=9,
        )  # fmt: skip
