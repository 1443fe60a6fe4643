"""How methods play f(x, y) = x y, and a game whose equilibrium simultaneous steps circle for ever.

python examples/games_trajectories.py [--short] [--out FOLDER]
"""

from pathlib import Path

import jax.numpy as jnp

import _common
from nablax import games
from nablax.games import methods


def forsaken(x, y):
    """A nonconvex game with an attracting limit cycle round its solution (Hsieh et al. 2021, arXiv:2006.09065)."""

    def well(u):
        return u**2 / 4 - u**4 / 2 + u**6 / 6

    return x * (y - 0.45) + well(x) - well(y)


def main(short: bool, out: Path) -> dict[str, float]:
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
    if short:
        chosen = {name: chosen[name] for name in ("simultaneous", "extra-gradient", "FEG")}
    z0, steps = {"x": 1.0, "y": 1.0}, 20 if short else 150
    figure, axes = _common.figure(2, size=(10, 5.6))
    games.plot_trajectories(bilinear, chosen, z0, steps=steps, ax=axes[0], limits=2.6)
    axes[0].set_title("f(x, y) = x y")

    curved = games.field(forsaken, minimize="x", maximize="y")
    few = {
        "simultaneous": methods.simultaneous(0.05),
        "extra-gradient": methods.extragradient(0.05),
        "consensus": methods.consensus(0.05, weight=0.5),
        "symplectic": methods.symplectic(0.05, weight=1.0),
    }
    if short:
        few = {"consensus": few["consensus"]}
    games.plot_trajectories(
        curved, few, {"x": 0.6, "y": -0.6}, steps=20 if short else 800, ax=axes[1], limits=1.6
    )
    axes[1].set_title("a game with a limit cycle")
    _common.save(figure, out, "games_trajectories")

    ends = {}
    for name, method in chosen.items():
        path = games.trajectory(method, bilinear, z0, steps=steps)
        ends[name] = float(jnp.hypot(path["x"][-1], path["y"][-1]))
        print(f"{name:16s} |z| after {steps} steps: {ends[name]:.4f}")
    return ends


if __name__ == "__main__":
    _common.run(main, __doc__)
