"""Matrix games: rock-paper-scissors, and a random 50 x 50 game against the value of its linear program.

python examples/games_matrix.py [--short] [--out FOLDER]
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

import _common
from nablax import games
from nablax.games import methods
from nablax.projections import projection_simplex

RPS = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def matrix_game(a):
    """min_x max_y x^T A y on the simplices."""
    sets = {"x": projection_simplex, "y": projection_simplex}
    return games.field(lambda x, y: x @ a @ y, minimize="x", maximize="y", projections=sets)


def linear_program(a):
    """The value of the game: min v with A^T x <= v, x in the simplex."""
    n, m = a.shape
    result = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.hstack([np.asarray(a, np.float64).T, -np.ones((m, 1))]),
        b_ub=np.zeros(m),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    return result.fun


def draw_rock_paper_scissors(ax, steps, short):
    """The paths of the first player's strategy in its triangle."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    z0 = {"x": jnp.array([0.7, 0.2, 0.1]), "y": jnp.array([0.2, 0.2, 0.6])}
    chosen = {
        "simultaneous": methods.simultaneous(0.1),
        "extra-gradient": methods.extragradient(0.1),
        "mirror-prox (entropy)": methods.mirror_prox(0.2, games.entropy()),
    }
    if short:
        chosen = {"simultaneous": chosen["simultaneous"]}
    ax.plot(*np.vstack([corners, corners[:1]]).T, color="grey")
    for name, method in chosen.items():
        path = games.trajectory(method, matrix_game(RPS), z0, steps=steps)["x"]
        ax.plot(*(np.asarray(path) @ corners).T, label=name, linewidth=1.3)
    for corner, label, align in zip(
        corners, ("rock", "paper", "scissors"), (("right", "top"), ("left", "top"), ("center", "bottom")), strict=True
    ):  # fmt: skip
        ax.annotate(label, corner, ha=align[0], va=align[1])
    ax.plot(*corners.mean(0), "k+", markersize=10)
    ax.set(aspect="equal", title="rock, paper, scissors: the first player", xlim=(-0.15, 1.2))
    ax.axis("off")
    ax.legend(loc="upper right", fontsize=8)


def main(short: bool, out: Path) -> dict[str, tuple[float, float]]:
    """Solves the games; returns, by method, the duality gap and the error of the value in the 50 x 50 game."""
    figure, axes = _common.figure(2, size=(11, 4.8))
    draw_rock_paper_scissors(axes[0], 20 if short else 400, short)

    a = jax.random.uniform(jax.random.key(0), (50, 50))
    value, norm = linear_program(a), float(jnp.linalg.norm(a - a.mean(), 2))
    F, z0 = matrix_game(a), {"x": jnp.full(50, 1 / 50), "y": jnp.full(50, 1 / 50)}
    marks = [4**k for k in range(3 if short else 2, 4 if short else 7)]

    def gap(z):
        return float(games.duality_gap(a, z["x"], z["y"]))

    def value_of(z):
        return float(z["x"] @ a @ z["y"])

    found, curves = {}, {}
    # Theory speaks of the average for mirror-prox; projected methods do better by their last points.
    entropic = methods.mirror_prox(1.0, games.entropy())
    points = [games.solve(entropic, F, z0, steps=steps).average for steps in marks]
    curves["mirror-prox (entropy), average"] = 2, points
    for name, method, cost in (
        ("extra-gradient, last", methods.extragradient(0.7 / norm), 2),
        ("optimistic, last", methods.optimistic(0.5 / norm), 1),
    ):
        path = games.trajectory(method, F, z0, steps=marks[-1])
        curves[name] = cost, [jax.tree.map(lambda leaf, k=k: leaf[k], path) for k in marks]
    for name, (cost, points) in curves.items():
        gaps = [gap(z) for z in points]
        found[name] = gaps[-1], abs(value_of(points[-1]) - value)
        axes[1].loglog([cost * n for n in marks], np.maximum(gaps, 1e-7), "o-", markersize=4, label=name)
        print(
            f"{name:32s} gap {gaps[-1]:.2e}, value off by {found[name][1]:.2e} (linear program: {value:.6f})"
        )
    bound = [2 * np.log(50) / n for n in marks]
    axes[1].loglog([2 * n for n in marks], bound, ":", color="grey", label="bound for mirror-prox")
    axes[1].set(title="a random 50 x 50 game", xlabel="evaluations of the field", ylabel="duality gap")
    axes[1].grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    _common.save(figure, out, "games_matrix")
    return found


if __name__ == "__main__":
    _common.run(main, __doc__)
