"""The tutorials' figures: runs the code of each page, and draws what it has computed.

    python -m scripts.tutorials [PAGE...]
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.drawing import COLOURS, DASHES, GREY, INK, Panel, picture, save

DOCS = Path(__file__).parent.parent / "docs"
BLUE, ORANGE, GREEN = COLOURS[:3]


def run(page: str) -> dict[str, Any]:
    """The names that the code of a page leaves behind."""
    names: dict[str, Any] = {"__name__": "__main__"}
    text = (DOCS / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, page, "exec"), names)
    return names


def perturbed_gradients(names: dict[str, Any]) -> str:
    """Slopes against sigma: estimated with and without the factor, and exact."""
    sigmas, few = np.linspace(0.05, 2.1, 80), np.asarray(names["sigmas"])
    ticks: dict[str, Any] = {"x_label": "sigma", "x_ticks": (0.5, 1, 1.5, 2)}
    left = Panel(46, 34, 300, 190, (0, 2.1), (0, 2.1), title="Identity", y_ticks=(0, 0.5, 1, 1.5, 2), **ticks)
    right = Panel(396, 34, 300, 190, (0, 2.1), (0, 3), title="Sign, at 0.3", y_ticks=(0, 1, 2, 3), **ticks)
    exact = np.asarray(names["exact"](0.3, sigmas))
    for panel, truth, found, off in [
        (left, np.ones_like(sigmas), names["identity"], np.asarray(names["identity"]) * few),
        (right, exact, names["found"], np.asarray(names["found"]) * few),
    ]:
        panel.line(sigmas, truth, GREY, 2.2)
        for s, good, bad in zip(few, found, off, strict=True):
            panel.dot(float(s), float(bad), ORANGE, 4, hollow=True)
            panel.dot(float(s), float(good), BLUE, 4)
    legend = [("exact", GREY, ""), ("estimated", BLUE, "1 40"), ("without 1 / sigma", ORANGE, "1 40")]
    return picture(716, 300, [left, right], legend, "Slopes of a smoothed identity and a smoothed sign")


def extragradient_players(names: dict[str, Any]) -> str:
    """Paths of both methods on x y, and their distances."""
    path, spiral = np.asarray(names["path"]), np.asarray(names["spiral"])
    ticks = (-2, -1, 0, 1, 2)
    left = Panel(40, 34, 240, 240, (-2.4, 2.4), (-2.4, 2.4), title="x and y", x_ticks=ticks, y_ticks=ticks)
    left.line(*spiral.T, ORANGE, 1.6, DASHES[1])
    left.line(*path[::2].T, BLUE, 1.8)
    for point in path[1::2]:
        left.dot(*point, BLUE, 2.6, hollow=True)
    for point in path[::2]:
        left.dot(*point, BLUE, 2.6)
    left.dot(0, 0, INK, 3)
    right = Panel(
        346, 34, 350, 240, (0, 40), (0.1, 30), log_y=True, title="Distance from the solution", x_label="gradients",
        x_ticks=(0, 10, 20, 30, 40), y_ticks=(0.1, 1, 10),
    )  # fmt: skip
    distance = np.linalg.norm(path[::2], axis=1)
    right.line(np.arange(len(spiral)), np.linalg.norm(spiral, axis=1), ORANGE, 2, DASHES[1])
    right.line(2 * np.arange(len(distance)), distance, BLUE, 2)
    legend = [("extra-gradient", BLUE, ""), ("simultaneous steps", ORANGE, DASHES[1])]
    return picture(716, 345, [left, right], legend, "Two methods on the game x y")


FIGURES: dict[str, Callable[[dict[str, Any]], str]] = {
    "perturbed-gradients": perturbed_gradients,
    "extragradient-players": extragradient_players,
}
"""By page, what is drawn of the names that its code leaves behind."""


def main(pages: list[str]) -> None:
    """Makes the figures of these pages, or of all."""
    for page in pages or FIGURES:
        save(DOCS / "figures" / "tutorials" / f"{page}.svg", FIGURES[page](run(page)))


if __name__ == "__main__":
    main(sys.argv[1:])
