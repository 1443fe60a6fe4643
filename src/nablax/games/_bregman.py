"""Bregman maps: the geometry in which a player moves.

A map takes a point z and a move u in the dual space (minus a step size times a gradient) to

    argmin_w <-u, w> + D(w, z),    D(w, z) = h(w) - h(z) - <h'(z), w - z>

for the distance D of a convex function h: half the squared norm, or the negative entropy on the simplex.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import apply_updates
from nablax.projections import projection_simplex


@dataclasses.dataclass(frozen=True)
class BregmanMap:
    """step: `step(z, u)` as above. projection: the Euclidean projection onto the map's set, for residuals."""

    step: Callable[[Any, Any], Any]
    projection: Callable[[Any], Any] | None = None


def euclidean(projection: Callable[[Any], Any] | None = None) -> BregmanMap:
    """h(w) = |w|^2 / 2: the map is P(z + u).

    Args:
      projection: onto the player's set; default: the whole space.
    """

    def step(z: Any, u: Any) -> Any:
        moved = apply_updates(z, u)
        return moved if projection is None else tree.cast_like(projection(moved), moved)

    return BregmanMap(step, projection)


def entropy() -> BregmanMap:
    """h(w) = sum_i w_i log w_i on the simplex: the map is z exp(u) / sum(z exp(u)), along the last axis of each leaf.

    Points are probability vectors; an entry that is 0 stays 0, so start inside.

    Example:
      >>> import jax.numpy as jnp
      >>> jnp.round(entropy().step(jnp.array([0.5, 0.5]), jnp.array([0.0, jnp.log(3.0)])), 4)
      Array([0.25, 0.75], dtype=float32)
    """
    return BregmanMap(_entropic, _onto_simplices)


def _entropic(z: Any, u: Any) -> Any:
    return jax.tree.map(lambda p, v: jax.nn.softmax(jnp.log(p) + v, axis=-1).astype(p.dtype), z, u)


def _onto_simplices(z: Any) -> Any:
    return jax.tree.map(jnp.vectorize(projection_simplex, signature="(n)->(n)"), z)
