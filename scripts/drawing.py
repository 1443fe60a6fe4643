"""Line charts as small SVG files: panels side by side, curves, dots, contours, labels.

Coordinates are whole numbers of tenths of a pixel, curves are relative paths, points that nobody could tell apart are
left out: a curve of 400 points takes about a kilobyte.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

# Okabe and Ito's colours, which the color-blind tell apart, in an order that stays readable on white; and dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D00", "#56B4E9")
DASHES = ("", "60 25", "15 20", "90 25 15 25", "40 40", "130 30")
INK, GREY, PALE, GRID = "#1f2328", "#8b949e", "#c3cad2", "#e3e6ea"


@dataclass
class Panel:
    """One pair of axes.

    Attributes:
      left, top, width, height: of the area inside the axes, in pixels.
      x, y: the ranges (low, high) that are shown.
      log_y: whether y is logarithmic; its range is positive then.
      title, x_label: above and below the axes.
      x_ticks, y_ticks: values, or pairs of a value and its label.
      grid: whether lines mark the ticks.
    """

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    log_y: bool = False
    title: str = ""
    x_label: str = ""
    x_ticks: Sequence[object] = ()
    y_ticks: Sequence[object] = ()
    grid: bool = True
    _parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies, in pixels; far outside it stays finite."""
        down = self.y[1] - y
        span = self.y[1] - self.y[0]
        if self.log_y:
            down = math.log(self.y[1] / max(y, 1e-30))
            span = math.log(self.y[1] / self.y[0])
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        return (
            self.left + self.width * min(max(across, -9.0), 9.0),
            self.top + self.height * min(max(down / span, -9.0), 9.0),
        )

    def line(
        self, xs: Iterable[float], ys: Iterable[float], colour: str = INK, width: float = 1.8, dash: str = ""
    ) -> None:
        """A curve through points; it ends where one is not finite."""
        points: list[tuple[float, float]] = []
        for x, y in zip(xs, ys, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                break
            points.append(self.at(x, y))
        style = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<path d="{path(points)}" stroke="{colour}" stroke-width="{round(10 * width)}"{style}/>'
        )

    def dot(self, x: float, y: float, colour: str, radius: float = 3.5, hollow: bool = False) -> None:
        """A dot, or a ring."""
        px, py = self.at(x, y)
        self._parts.append(_circle(px, py, colour, radius, hollow))

    def svg(self, clip: str) -> str:
        """The panel's elements. Curves are cut at the axes."""
        place = {"x": self.left, "y": self.top, "width": self.width, "height": self.height}
        box = " ".join(f'{name}="{_whole(value)}"' for name, value in place.items())
        out = [f'<clipPath id="{clip}"><rect {box}/></clipPath>']
        bottom = self.top + self.height
        grid = []
        for value, label in map(_tick, self.y_ticks):
            _, py = self.at(self.x[0], value)
            grid.append(f"M{_whole(self.left)} {_whole(py)}h{_whole(self.width)}")
            out.append(_text(self.left - 6, py + 4, label, INK, "end", 11))
        for value, label in map(_tick, self.x_ticks):
            px, _ = self.at(value, self.y[1])
            grid.append(f"M{_whole(px)} {_whole(bottom)}v-{_whole(self.height)}")
            out.append(_text(px, bottom + 16, label, INK, "middle", 11))
        if grid and self.grid:
            out.append(f'<path d="{"".join(grid)}" stroke="{GRID}" stroke-width="8" fill="none"/>')
        out.append(f'<g clip-path="url(#{clip})" fill="none">{"".join(self._parts)}</g>')
        out.append(f'<rect {box} fill="none" stroke="{GREY}" stroke-width="8"/>')
        if self.title:
            out.append(_text(self.left, self.top - 9, self.title, INK, "start", 13, bold=True))
        if self.x_label:
            out.append(_text(self.left + self.width / 2, bottom + 33, self.x_label, INK, "middle", 11.5))
        return "".join(out)


def picture(
    width: float,
    height: float,
    panels: Sequence[Panel],
    legend: Sequence[tuple[str, str, str]] = (),
    label: str = "",
) -> str:
    """An SVG file.

    Args:
      width, height: in pixels.
      panels: what is drawn.
      legend: text, colour and dash of each entry, in one line below the panels, which breaks where it is full. In the
        place of a dash, "dot" and "ring" stand for what has no line.
      label: what the picture shows, for those who do not see it.
    """
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_whole(width)} {_whole(height)}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(label, True)}" '
        'font-family="system-ui,-apple-system,Segoe UI,Roboto,DejaVu Sans,sans-serif">',
        f'<rect width="{_whole(width)}" height="{_whole(height)}" rx="60" fill="#fff"/>',
    ]
    out += [panel.svg(f"c{i}") for i, panel in enumerate(panels)]
    widths = [38 + 6.6 * len(text) + 16 for text, _, _ in legend]
    rows: list[list[int]] = [[]]
    for i, w in enumerate(widths):
        if rows[-1] and sum(widths[j] for j in rows[-1]) + w > width - 20:
            rows.append([])
        rows[-1].append(i)
    for r, row in enumerate(rows):
        x = (width - sum(widths[i] for i in row)) / 2
        y = height - 12 - 18 * (len(rows) - 1 - r)
        for i in row:
            text, colour, dash = legend[i]
            out.append(_sample(x, y - 4, colour, dash))
            out.append(_text(x + 36, y, text, INK, "start", 12))
            x += widths[i]
    return "".join(out) + "</svg>\n"


def legend_of(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """A colour and a dash for each name."""
    return [(name, COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]) for i, name in enumerate(names)]


def save(path: Path, text: str) -> None:
    """Writes a picture, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def path(points: Sequence[tuple[float, float]], near: float = 0.6) -> str:
    """The points as path data; those nearer than `near` pixels to the last one kept are left out, save the end."""
    if not points:
        return "M0 0"
    kept = [points[0]]
    for point in points[1:-1]:
        if math.dist(point, kept[-1]) >= near:
            kept.append(point)
    kept.append(points[-1])
    whole = [(_whole(x), _whole(y)) for x, y in kept]
    out = f"M{whole[0][0]} {whole[0][1]}l"
    first = True
    for (x0, y0), (x1, y1) in pairwise(whole):
        dx, dy = x1 - x0, y1 - y0
        if (dx, dy) == (0, 0):
            continue
        out += f"{dx}" if first or dx < 0 else f" {dx}"
        out += f"{dy}" if dy < 0 else f" {dy}"
        first = False
    return out if not first else out + "0 0"


def _circle(x: float, y: float, colour: str, radius: float, hollow: bool) -> str:
    style = f'fill="#fff" stroke="{colour}" stroke-width="15"' if hollow else f'fill="{colour}" stroke="none"'
    return f'<circle cx="{_whole(x)}" cy="{_whole(y)}" r="{_whole(radius)}" {style}/>'


def _sample(x: float, y: float, colour: str, dash: str) -> str:
    """What stands before a text of the legend."""
    if dash in ("dot", "ring"):
        return _circle(x + 22, y, colour, 4, dash == "ring")
    style = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{_whole(x)} {_whole(y)}h300" stroke="{colour}" stroke-width="22" fill="none"{style}/>'


def _tick(tick: object) -> tuple[float, str]:
    if isinstance(tick, tuple):
        return float(tick[0]), str(tick[1])
    return float(tick), f"{tick:g}"  # type: ignore[arg-type, str-format]


def _whole(pixels: float) -> int:
    return round(10 * pixels)


def _text(x: float, y: float, text: str, colour: str, anchor: str, size: float, bold: bool = False) -> str:
    style = "" if anchor == "start" else f' text-anchor="{anchor}"'
    style += ' font-weight="600"' if bold else ""
    return (
        f'<text x="{_whole(x)}" y="{_whole(y)}" font-size="{round(10 * size)}" fill="{colour}"{style}>'
        f"{escape(text, False)}</text>"
    )
