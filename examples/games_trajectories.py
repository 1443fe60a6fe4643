"""How methods play f(x, y) = x y, and a game whose equilibrium simultaneous steps circle for ever.

python examples/games_trajectories.py [--quick] [--out docs/figures]
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from nablax import games
from nablax.games import methods


def forsaken(x, y):
    """A nonconvex game with an attracting limit cycle round its solution (Hsieh et al. 2021, arXiv:2006.09065)."""

    def well(u):
        return u**2 / 4 - u**4 / 2 + u**6 / 6

    return x * (y - 0.45) + well(x) - well(y)


def main(quick: bool = False, out: Path = Path("docs/figures")) -> dict[str, float]:
    """Draws both games; returns the distance from the solution of f = x y after the last step, by method."""
    bilinear = games.field(lambda x, y: x * y, minimize="x", maximize="y")
    chosen = {
        "simultaneous": methods.simultaneous(0.15),
        "alternating": methods.alternating(0.15),
        "extra-gradient": methods.extragradient(0.15),
        "optimistic": methods.optimistic(0.15),
        "FEG": methods.feg(0.15),
        "competitive": methods.competitive(0.15),
    }
    if quick:
        chosen = {name: chosen[name] for name in ("simultaneous", "extra-gradient", "FEG")}
    z0, steps = {"x": 1.0, "y": 1.0}, 20 if quick else 150
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.6), layout="constrained")
    games.plot_trajectories(bilinear, chosen, z0, steps=steps, ax=axes[0], limits=2.6)
    axes[0].set_title("f(x, y) = x y")

    curved = games.field(forsaken, minimize="x", maximize="y")
    few = {
        "simultaneous": methods.simultaneous(0.05),
        "extra-gradient": methods.extragradient(0.05),
        "consensus": methods.consensus(0.05, 0.5),
        "symplectic": methods.symplectic(0.05, 1.0),
    }
    if quick:
        few = {"consensus": few["consensus"]}
    games.plot_trajectories(
        curved, few, {"x": 0.6, "y": -0.6}, steps=20 if quick else 800, ax=axes[1], limits=1.6
    )
    axes[1].set_title("a game with a limit cycle")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "games_trajectories.png", dpi=66)
    plt.close(figure)

    ends = {}
    for name, method in chosen.items():
        path = games.trajectory(method, bilinear, z0, steps=steps)
        ends[name] = float(jnp.hypot(path["x"][-1], path["y"][-1]))
        print(f"{name:16s} |z| after {steps} steps: {ends[name]:.4f}")
    return ends


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    arguments = parser.parse_args()
    main(arguments.quick, arguments.out)
