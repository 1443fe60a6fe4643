"""What the examples share: two options, the look of figures, scikit-learn's digits.

Every example has `main(short, out)`, prints what it finds, returns it, and draws `out/NAME.png`.
"""

import argparse
import io
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

mpl.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's colors, which the color-blind tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
STYLE = {
    "axes.prop_cycle": mpl.cycler(color=[BLUE, RED, GREEN, ORANGE, PURPLE, "#56B4E9", "#444444"]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "legend.frameon": False,
    "font.size": 10,
    "lines.linewidth": 1.5,
}


def run(main, doc):
    """Calls `main(short, out)` with what the command line says; `out` is out/NAME unless it is given."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--short", action="store_true", help="a few steps: shows that it runs, not what it finds"
    )
    parser.add_argument("--out", type=Path, help="folder for the figure")
    arguments = parser.parse_args()
    mpl.rcParams.update(STYLE)
    main(arguments.short, arguments.out or Path("out") / Path(sys.argv[0]).stem)


def figure(columns=1, rows=1, size=None, **options):
    """A figure and its axes, as `plt.subplots` gives them; size in inches."""
    size = size or (4.5 * columns, 3.5 * rows)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", **options)


def save(figure, out, name, dpi=80):
    """Writes out/name.png with a palette of 128 colors, a third of the usual size, and closes the figure."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        out / f"{name}.png", optimize=True
    )
    print(f"figure: {out / name}.png")


def digits():
    """1,437 pictures of digits to train on, 360 to test: ((x, y), (x, y)) with x (n, 64) in [0, 1], y (n,) int32."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int32)
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def epochs(x, y, count, size=64):
    """For each epoch all rows once in random order, as (batches, size, ...); what does not fill a batch is left out."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        rows = rng.permutation(len(x))[: len(x) // size * size].reshape(-1, size)
        yield x[rows], y[rows]
