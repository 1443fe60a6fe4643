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

from scripts.drawing import COLOURS, DASHES, GREY, INK, Panel, legend_of, picture, save

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
    legend = [("exact", GREY, ""), ("estimated", BLUE, "dot"), ("without 1 / sigma", ORANGE, "ring")]
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


def optimistic_adam(names: dict[str, Any]) -> str:
    """The generator's path in one game, and distances over all."""
    target, shown = np.asarray(names["target"]), legend_of(list(names["paths"]))
    left = Panel(
        40,
        34,
        280,
        240,
        (-0.7, 4.1),
        (-3, 1.2),
        title="The generator",
        x_ticks=range(5),
        y_ticks=range(-3, 2),
    )
    right = Panel(
        386, 34, 310, 240, (0, 1000), (0.05, 3), log_y=True, title="Distance from the target", x_label="steps",
        x_ticks=(0, 250, 500, 750, 1000), y_ticks=(0.1, 0.3, 1, 3),
    )  # fmt: skip
    for name, colour, dash in shown:
        if name in ("Adam", "optimistic, decaying"):
            left.line(*np.asarray(names["paths"][name])[0].T, colour, 1.3)
        right.line(range(1000), np.asarray(names["distance"][name]), colour, 1.8, dash)
    left.dot(*target, INK, 4)
    return picture(716, 345, [left, right], shown, "A game under four optimizers")


def centralized_gradients(names: dict[str, Any]) -> str:
    """Losses, and the means of the tokens' vectors before and after."""
    shown = legend_of(["not centralized", "all centralized", "hidden layer centralized"])
    runs = [names["plain"], names["everywhere"], names["masked"]]
    left = Panel(
        50, 34, 290, 240, (0, 400), (1e-5, 0.3), log_y=True, title="Training loss", x_label="steps",
        x_ticks=(0, 100, 200, 300, 400), y_ticks=((1e-5, "1e-5"), (1e-4, "1e-4"), 1e-3, 1e-2, 1e-1),
    )  # fmt: skip
    right = Panel(
        406, 34, 290, 240, (0, 40), (1e-9, 1), log_y=True, title="How far the means went", x_label="token",
        x_ticks=(0, 10, 20, 30, 40), y_ticks=[(10.0**k, f"1e{k}") for k in (-8, -6, -4, -2)] + [(1.0, "1")],
    )  # fmt: skip
    before = np.asarray(names["params"]["embedding"]).mean(1)
    for (_, colour, dash), (p, losses) in zip(shown, runs, strict=True):
        left.line(range(400), np.asarray(losses), colour, 1.8, dash)
        for token, moved in enumerate(np.abs(np.asarray(p["embedding"]).mean(1) - before)):
            right.dot(token + 0.5, max(moved, 1.5e-9), colour, 3, hollow=colour == GREEN)
    return picture(716, 345, [left, right], shown, "Centralization of all arrays and of layers")


def autograd(names: dict[str, Any]) -> str:
    """The root with two derivatives."""
    panel = Panel(
        46, 34, 640, 230, (0, 4.1), (-1, 2.2), title="A root by a loop, differentiated", x_label="a",
        x_ticks=(0, 1, 2, 3, 4), y_ticks=(-1, 0, 1, 2),
    )  # fmt: skip
    shown = legend_of(["root", "first derivative", "second derivative"])
    fine, few = np.linspace(0.06, 4.1, 200), np.arange(0.3, 4.1, 0.2)
    exact = (fine**0.5, 0.5 / fine**0.5, -0.25 / fine**1.5)
    found = np.array([names["derivatives"](float(a)) for a in few]).T
    for (_, colour, dash), line, dots in zip(shown, exact, found, strict=True):
        panel.line(fine, line, colour, 1.8, dash)
        for x, y in zip(few, dots, strict=True):
            panel.dot(x, y, colour, 3)
    return picture(716, 335, [panel], shown, "A root and two derivatives")


FIGURES: dict[str, Callable[[dict[str, Any]], str]] = {
    "perturbed-gradients": perturbed_gradients,
    "extragradient-players": extragradient_players,
    "optimistic-adam": optimistic_adam,
    "centralized-gradients": centralized_gradients,
    "autograd": autograd,
}
"""By page, what is drawn of the names that its code leaves behind."""


def main(pages: list[str]) -> None:
    """Makes the figures of these pages, or of all."""
    for page in pages or FIGURES:
        save(DOCS / "figures" / "tutorials" / f"{page}.svg", FIGURES[page](run(page)))


if __name__ == "__main__":
    main(sys.argv[1:])
