"""Figures as files and as part of the page, and the axes that all figures share.

Each figure is drawn wide or narrow, for the page shows what suits its reader: as PNG on white, or as SVG that takes the
colours of the page around it.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .._results import Comparison
from . import _theme, _words


@dataclass(frozen=True)
class Style:
    """Colours and shape of a figure. legend: within the figure; the page has its own."""

    ink: str = "#1f2328"
    grid: str = "#e3e6ea"
    narrow: bool = False
    legend: bool = True


FILE = Style()
WIDE, NARROW = Style(legend=False), Style(legend=False, narrow=True)

Draw = Callable[[Comparison, Style], Figure]

_METADATA = ("Creator", "Date", "Format", "Type")
_FONTS = "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif"


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def svg(figure: Figure, style: Style, label: str) -> str:
    """The figure as an `<svg>` element to stand within HTML.

    Its ink and its grid have the page's colours, `var(--ink)` and `var(--line)`; text is text, in the page's font.
    """
    buffer = io.StringIO()
    salt = f"{label}-{style.narrow}"  # names within an SVG must be its own: the page holds several
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    element = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", element)  # HTML knows SVG's names
    opening = rf'<svg class="figure" role="img" aria-label="{label}" viewBox="\1">'
    element = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', opening, element, count=1)
    element = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 inherit-family", element)
    element = element.replace("inherit-family", _FONTS)
    return element.replace(style.ink, "var(--ink)").replace(style.grid, "var(--line)")


def panels(
    style: Style, names: Sequence[str], comparison: Comparison, height: float = 3.7
) -> tuple[Figure, dict[str, Any]]:
    """A figure with so many panels, in two columns or, narrow, in one; a panel that would stand alone is wide."""
    if style.narrow:
        rows = [[name] for name in names]
    else:
        rows = [[a, b] for a, b in zip(names[::2], [*names, names[-1]][1::2], strict=False)]
    width = 4.4 if style.narrow else 9.8
    labels = _labels(comparison, style) if style.legend else []
    room = 0.19 * sum(label.count("\n") + 1 for label in labels) / _columns(labels)
    figure = Figure(figsize=(width, height * len(rows) + room), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03)  # type: ignore[union-attr, call-arg]
    return figure, figure.subplot_mosaic(rows)  # type: ignore[arg-type]


def decorate(axis: Any, style: Style, title: str, x: str, y: str, pad: float = 6.0) -> None:
    """Title, labels, grid. pad: room between the axes and the title, in points."""
    axis.set_title(title, loc="left", color=style.ink, fontsize=11, fontweight="bold", pad=pad, wrap=True)
    axis.set_xlabel(x, color=style.ink, fontsize=10)
    axis.set_ylabel("\n".join(textwrap.wrap(y, 34)), color=style.ink, fontsize=10)
    axis.grid(True, color=style.grid, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", colors=style.ink, labelsize=9)
    axis.tick_params(which="minor", length=0)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(style.ink)
        spine.set_linewidth(0.8)


def frame(axis: Any, values: Sequence[float], *, worse: str, log: bool = True) -> tuple[float, float]:
    """Chooses scale and limits of the y axis, and returns the limits.

    A log scale where no value is negative and the positive ones span more than a factor of five. On the worse side,
    "high" or "low", values far out (beyond the quartile by more than three times the distance of the quartiles) do not
    stretch the axis.
    """
    finite = np.asarray([v for v in values if math.isfinite(v)], float)
    if not len(finite):
        return axis.get_ylim()
    positive = finite[finite > 0]
    log = log and finite.min() >= 0 and len(positive) > 0 and positive.max() > 5 * positive.min()
    levels = np.log(positive) if log else finite
    low, high = levels.min(), levels.max()
    q1, q3 = np.quantile(levels, [0.25, 0.75])
    if q3 > q1:
        if worse == "high":
            high = min(high, levels[levels <= q3 + 3 * (q3 - q1)].max())
        else:
            low = max(low, levels[levels >= q1 - 3 * (q3 - q1)].min())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - room, high + room
    if log:
        axis.set_yscale("log")
        low, high = math.exp(low), math.exp(high)
        if high < 100 * low:  # powers of ten alone would be too few
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(low, high)
    return low, high


def legend(figure: Figure, comparison: Comparison, style: Style) -> None:
    """One legend below, in the order of the ranking, which also names what diverged; where the style has one."""
    if not style.legend:
        return
    looks = _theme.looks(comparison)
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linewidth=2,
            linestyle=look.style,
            marker=look.marker,
            markersize=5,
            label=label,
        )
        for label, entry in zip(_labels(comparison, style), comparison.ranked(), strict=True)
        for look in [looks[entry.label]]
    ]
    columns = _columns([str(handle.get_label()) for handle in handles])
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False,
        labelcolor=style.ink, fontsize=9, handlelength=3.6,
    )  # fmt: skip


def _labels(comparison: Comparison, style: Style) -> list[str]:
    return ["\n".join(textwrap.wrap(legend_text(comparison, i), 44)) for i in range(len(comparison.entries))]


def legend_text(comparison: Comparison, place: int) -> str:
    """Name and best rate of the optimizer that ranks there, counted from 0."""
    entry = comparison.ranked()[place]
    trial = entry.best_trial
    return f"{entry.label} (diverged)" if trial is None else f"{entry.label}, lr {_words.rate(trial.rate)}"


def _columns(labels: list[str]) -> int:
    longest = max((len(line) for label in labels for line in label.split("\n")), default=1)
    return 4 if longest <= 20 else 3 if longest <= 28 else 2
