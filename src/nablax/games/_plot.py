"""A picture of a two-dimensional game: the field as arrows, one line for each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from nablax.core import ArgumentError, StructureError
from nablax.games._field import as_field
from nablax.games._solve import prepare
from nablax.games._trajectory import trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Dark and light in turns, told apart in grey and by readers who see no red or green.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B")
_ARROWS = 17  # a side


def plot_trajectories(
    field: Any,
    methods: Mapping[str, Any],
    z0: Any,
    *,
    steps: int = 200,
    ax: Axes | None = None,
    limits: float | tuple[tuple[float, float], tuple[float, float]] | None = None,
    key: jax.Array | None = None,
) -> Axes:
    """Draws how methods play a game of two numbers.

    Arrows show where all players would go, -F(z), in their direction and, fading to pale, their strength; every method
    draws its path from z0, with a mark where it ends.

    Args:
      field: a game whose joint point holds two numbers, as in `games.field(lambda x, y: x * y, ...)`.
      methods: by name in the legend; as in `solve`.
      z0: the first point.
      steps: at least 1; 200 show where most games go.
      ax: where to draw; default: new axes.
      limits: half the side of a square round the origin, or ((x_low, x_high), (y_low, y_high)); default: what the
        paths need, at most four times as far as z0.
      key: for fields that take one.

    Returns:
      The axes.

    Raises:
      ImportError: matplotlib is not installed (`pip install nablax[workbench]`).
      StructureError: the point does not hold two numbers.
      ArgumentError: no methods.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as e:
        raise ImportError("games.plot_trajectories needs matplotlib: pip install 'nablax[workbench]'.") from e
    if not isinstance(methods, Mapping):
        raise ArgumentError(
            f"games.plot_trajectories: methods must be a dict of names and methods, got {methods!r}."[:300]
        )
    if not methods:
        raise ArgumentError("games.plot_trajectories: give at least one method.")
    field = as_field("games.plot_trajectories", field)
    _, _, start = prepare(next(iter(methods.values())), field, z0)
    flat, unravel = ravel_pytree(start)
    if flat.size != 2:
        raise StructureError(f"games.plot_trajectories: the point must hold two numbers, got {flat.size}.")

    paths = {name: _path(method, field, start, steps, key) for name, method in methods.items()}
    (x_low, x_high), (y_low, y_high) = _limits(limits, np.asarray(flat), paths)
    if ax is None:
        _, ax = plt.subplots(figsize=(6, 6), layout="constrained")

    here = field.bind(field.batch, key)
    xs, ys = np.meshgrid(np.linspace(x_low, x_high, _ARROWS), np.linspace(y_low, y_high, _ARROWS))
    points = jnp.asarray(np.stack([xs.ravel(), ys.ravel()], 1), flat.dtype)
    towards = -np.asarray(jax.jit(jax.vmap(lambda p: ravel_pytree(here(unravel(p)))[0]))(points))
    strength = np.linalg.norm(towards, axis=1)
    unit = towards / np.maximum(strength, 1e-12)[:, None]
    ax.quiver(
        xs.ravel(), ys.ravel(), unit[:, 0], unit[:, 1], strength / max(strength.max(), 1e-12),
        cmap="Greys", clim=(-0.4, 2.2), scale=1.5 * _ARROWS, width=0.003, zorder=1,
    )  # fmt: skip
    for i, (name, path) in enumerate(paths.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        ax.plot(path[:, 0], path[:, 1], color=colour, linewidth=1.4, label=name, zorder=2)
        ax.plot(*path[-1], "o", color=colour, markersize=5, zorder=3)
    ax.plot(*np.asarray(flat), "x", color="black", markersize=9, markeredgewidth=2, zorder=4)
    ax.set(xlim=(x_low, x_high), ylim=(y_low, y_high), aspect="equal")
    if field.players and len(start) == 2:
        # Trees list the entries of a dict in the order of their names.
        ax.set(**dict(zip(("xlabel", "ylabel"), sorted(start), strict=True)))
    # Below the picture, where it hides no path.
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=min(3, len(paths)), frameon=False)
    return ax


def _path(method: Any, field: Any, start: Any, steps: int, key: Any) -> np.ndarray:
    path = trajectory(method, field, start, steps=steps, key=key)
    return np.stack([np.asarray(x).reshape(steps + 1, -1) for x in jax.tree.leaves(path)], -1).reshape(
        steps + 1, 2
    )


def _limits(limits: Any, start: np.ndarray, paths: Mapping[str, np.ndarray]) -> Any:
    if limits is None:
        far = np.nanmax([np.max(np.abs(p), where=np.isfinite(p), initial=0.0) for p in paths.values()])
        limits = 1.1 * float(min(far, 4 * max(np.max(np.abs(start)), 1e-3)))
    return limits if isinstance(limits, tuple) else ((-limits, limits), (-limits, limits))
