"""The two figures: curves at the best rates, and final loss against learning rate.

Each is drawn wide or narrow, for the page shows what suits its reader: as PNG on white, or as SVG that takes the
colours of the page around it.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import _theme
from ._results import Comparison, Entry


@dataclass(frozen=True)
class Style:
    """Colours and shape of a figure."""

    ink: str = "#1f2328"
    grid: str = "#e3e6ea"
    narrow: bool = False


WIDE, NARROW = Style(), Style(narrow=True)

Draw = Callable[[Comparison, Style], Figure]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def svg(draw: Draw, comparison: Comparison, style: Style, label: str) -> str:
    """The figure as an `<svg>` element to stand within HTML.

    Its ink and its grid have the page's colours, `var(--ink)` and `var(--line)`; text is text, in the page's font.
    """
    buffer = io.StringIO()
    figure = draw(comparison, style)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    element = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", element)  # HTML knows SVG's names
    element = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', _opening(label), element, count=1)
    element = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 inherit-family", element)
    element = element.replace("inherit-family", _FONTS)
    return element.replace(style.ink, "var(--ink)").replace(style.grid, "var(--line)")


_METADATA = ("Creator", "Date", "Format", "Type")
_FONTS = "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif"


def _opening(label: str) -> str:
    return rf'<svg role="img" aria-label="{label}" viewBox="\1">'


def curves(comparison: Comparison, style: Style = WIDE) -> Figure:
    """Training loss, and the held-out metric where there is one, against steps, each optimizer at its best rate."""
    sound = [entry for entry in comparison.ranked() if not entry.diverged]
    held_out = any(t.metric_curves for entry in sound if (t := entry.best_trial))
    panels = 2 if held_out else 1
    rows, columns = (panels, 1) if style.narrow else (1, panels)
    figure = _figure(style, 4.1 * panels if style.narrow else 4.6, len(comparison.entries))
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    _decorate(axes[0], style, "Training loss", "step", "loss")
    if held_out:
        _decorate(axes[1], style, comparison.metric.capitalize(), "step", comparison.metric)
    looks = _theme.looks(comparison)
    levels: list[list[float]] = [[], []]
    for entry in sound:
        trial, look = entry.best_trial, looks[entry.label]
        assert trial is not None
        pairs = [(comparison.loss_steps, trial.loss_curves)]
        if held_out and trial.metric_curves:
            pairs.append((comparison.metric_steps, trial.metric_curves))
        for axis, level, (steps, seeds) in zip(axes, levels, pairs, strict=False):
            values = np.asarray(seeds, float)
            axis.fill_between(
                steps, values.min(axis=0), values.max(axis=0), color=look.colour, alpha=0.15, linewidth=0
            )
            axis.plot(steps, values.mean(axis=0), color=look.colour, linestyle=look.dash, linewidth=1.7)
            level.extend(values.ravel())
    _log_if_positive(axes[0], levels[0])
    if held_out and not comparison.higher_is_better:
        _log_if_positive(axes[1], levels[1])
    for axis in axes:
        axis.set_xlim(0, comparison.steps)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    if not sound:
        axes[0].text(
            0.5,
            0.5,
            "every run diverged",
            transform=axes[0].transAxes,
            ha="center",
            color=style.ink,
            fontsize=11,
        )
    _legend(figure, comparison, style, markers=False)
    return figure


def sensitivity(comparison: Comparison, style: Style = WIDE) -> Figure:
    """Final training loss against learning rate; rates at which a seed diverged are crosses in a strip above."""
    looks = _theme.looks(comparison)
    ranked = comparison.ranked()
    failing = [entry for entry in ranked if any(any(t.diverged) for t in entry.trials)]
    figure = _figure(style, 5.6 if style.narrow else 4.8, len(ranked))
    if failing:
        strip_height = 0.03 * len(failing) + 0.02
        strip, axis = figure.subplots(2, 1, sharex=True, height_ratios=[strip_height, 1 - strip_height])
        _strip(strip, failing, looks, style)
    else:
        axis = figure.subplots()
    loss = "final training loss (mean over seeds)"
    _decorate(axis, style, "" if failing else "Final loss by learning rate", "learning rate", loss)
    levels: list[float] = []
    for entry in ranked:
        look = looks[entry.label]
        rates = [t.rate for t in entry.trials]
        finals = [math.nan if any(t.diverged) else t.final_loss for t in entry.trials]
        levels += [f for f in finals if math.isfinite(f)]
        axis.plot(
            rates,
            finals,
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markersize=4.5,
            linewidth=1.5,
        )
        if (best := entry.best_trial) is not None:
            axis.plot(
                best.rate, best.final_loss, linestyle="", marker=look.marker, markersize=10,
                markerfacecolor=look.colour, markeredgecolor=style.ink, markeredgewidth=1.2, zorder=5,
            )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(min(comparison.rates) / 1.4, max(comparison.rates) * 1.4)
    _log_if_positive(axis, levels)
    _legend(figure, comparison, style, markers=True)
    return figure


def _strip(axis: Any, failing: Sequence[Entry], looks: dict[str, _theme.Look], style: Style) -> None:
    for height, entry in enumerate(reversed(failing)):
        rates = [t.rate for t in entry.trials if any(t.diverged)]
        axis.plot(
            rates, [height] * len(rates), linestyle="", marker="x", markersize=6, markeredgewidth=1.8,
            color=looks[entry.label].colour,
        )  # fmt: skip
    _decorate(axis, style, "Final loss by learning rate", "", "")
    axis.grid(False)
    axis.set_ylim(-0.7, len(failing) - 0.3)
    axis.set_yticks([(len(failing) - 1) / 2], ["diverged"])
    axis.tick_params(axis="both", which="both", length=0, labelbottom=False)
    axis.spines["bottom"].set_visible(False)


def _figure(style: Style, height: float, entries: int) -> Figure:
    width = 4.3 if style.narrow else 9.6
    legend_rows = -(-entries // _columns(style))
    return Figure(figsize=(width, height + 0.22 * legend_rows), layout="constrained")


def _columns(style: Style) -> int:
    return 2 if style.narrow else 4


def _decorate(axis: Any, style: Style, title: str, x: str, y: str) -> None:
    axis.set_title(title, loc="left", color=style.ink, fontsize=11, fontweight="bold")
    axis.set_xlabel(x, color=style.ink, fontsize=10)
    axis.set_ylabel(y, color=style.ink, fontsize=10)
    axis.grid(True, color=style.grid, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", colors=style.ink, labelsize=9)
    axis.tick_params(which="minor", length=0)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(style.ink)
        spine.set_linewidth(0.8)


def _log_if_positive(axis: Any, values: Sequence[float]) -> None:
    """A log scale where all values allow it and span more than a factor of five."""
    finite = [v for v in values if math.isfinite(v)]
    if finite and min(finite) > 0 and max(finite) > 5 * min(finite):
        axis.set_yscale("log")


def _legend(figure: Figure, comparison: Comparison, style: Style, *, markers: bool) -> None:
    """One legend below, in the order of the ranking, which also names what diverged."""
    from matplotlib.lines import Line2D

    looks = _theme.looks(comparison)
    handles = []
    for entry in comparison.ranked():
        look = looks[entry.label]
        handle = Line2D([], [], color=look.colour, linewidth=2, markersize=5)
        handle.set_linestyle(look.dash)
        handle.set_marker(look.marker if markers else "")
        handle.set_label(
            f"{entry.label} (diverged)" if entry.diverged else f"{entry.label}, lr {_best_rate(entry)}"
        )
        handles.append(handle)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=_columns(style), frameon=False,
        labelcolor=style.ink, fontsize=8 if style.narrow else 9, handlelength=1.8,
    )  # fmt: skip


def _best_rate(entry: Entry) -> str:
    return _theme.rate(entry.best_trial.rate if entry.best_trial else None)
