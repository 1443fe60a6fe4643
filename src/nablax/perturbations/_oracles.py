"""Solutions of linear programs y*(theta) = argmax over y in a polytope of <y, theta>, each as a function JAX
can trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import HyperparameterError, StructureError

from ._checks import as_scores, positive_int

_Loop = tuple[Any, Any, Any]  # the carry of a loop: two arrays, and what ends it


def argmax_oracle(scores: jax.Array) -> jax.Array:
    """The one-hot vector of the largest score along the last axis: a vertex of the simplex."""
    scores = as_scores("argmax_oracle", "scores", scores)
    if not scores.shape[-1]:
        raise StructureError(
            f"argmax_oracle: scores must not be empty along the last axis, got shape {scores.shape}."
        )
    return jax.nn.one_hot(jnp.argmax(scores, -1), scores.shape[-1], dtype=scores.dtype)


def top_k_oracle(k: int) -> Callable[[jax.Array], jax.Array]:
    """The indicator of the k largest scores along the last axis.

    Raises:
      HyperparameterError: k < 1, or, when called, more than there are scores.
    """
    k = positive_int("top_k_oracle", "k", k)

    def oracle(scores: jax.Array) -> jax.Array:
        if k > scores.shape[-1]:
            raise HyperparameterError(
                f"top_k_oracle: k must be at most the number of scores, {scores.shape[-1]}, got {k}."
            )
        _, best = jax.lax.top_k(scores, k)
        return jnp.sum(jax.nn.one_hot(best, scores.shape[-1], dtype=scores.dtype), -2)

    return oracle


def rank_oracle(scores: jax.Array) -> jax.Array:
    """Ranks along the last axis, 1 for the smallest: the vertex of the permutahedron that <y, scores>
    prefers."""
    scores = as_scores("rank_oracle", "scores", scores)
    order = jnp.argsort(scores, -1)
    return (jnp.argsort(order, -1) + 1).astype(scores.dtype)


_MOVES4 = ((0, 1), (1, 0), (0, -1), (-1, 0))
_MOVES8 = (*_MOVES4, (1, 1), (1, -1), (-1, 1), (-1, -1))


def shortest_path_oracle(*, diagonal: bool = True) -> Callable[[jax.Array], jax.Array]:
    """The cheapest path from the first to the last cell of a grid, by the method of Bellman and Ford.

    Args:
      diagonal: paths move to eight neighbours, or to four.

    Returns:
      A function of the (height, width) array of MINUS the cells' costs (an oracle maximises) that returns the
      indicator of the path's cells, both ends included. Costs below 1e-6 count as 1e-6, so that no path goes
      round in circles.
    """
    moves = _MOVES8 if diagonal else _MOVES4

    def oracle(scores: jax.Array) -> jax.Array:
        if scores.ndim != 2:
            raise StructureError(
                f"shortest_path_oracle: scores must have shape (height, width), got {scores.shape}."
            )
        height, width = scores.shape
        cost = jnp.maximum(-scores, 1e-6)
        start = jnp.full(scores.shape, jnp.inf, scores.dtype).at[0, 0].set(cost[0, 0])

        def neighbours(distance: jax.Array) -> jax.Array:
            padded = jnp.pad(distance, 1, constant_values=jnp.inf)
            return jnp.stack([padded[1 + i : 1 + i + height, 1 + j : 1 + j + width] for i, j in moves])

        def relax(carry: _Loop) -> _Loop:
            distance, back, _ = carry
            around = neighbours(distance)
            through = jnp.min(around, 0) + cost
            better = through < distance
            # The move back is kept from the last strict improvement: where costs vanish beside the distance, the
            # cheapest neighbours of two cells may be each other.
            return (
                jnp.where(better, through, distance),
                jnp.where(better, jnp.argmin(around, 0), back),
                jnp.any(better),
            )

        nowhere = jnp.zeros(scores.shape, jnp.argmin(neighbours(start), 0).dtype)
        _, back, _ = jax.lax.while_loop(lambda c: c[2], relax, (start, nowhere, jnp.array(True)))
        steps = jnp.asarray(moves)

        def walk(carry: _Loop) -> _Loop:
            cell, path, length = carry
            cell = cell + steps[back[cell[0], cell[1]]]
            return cell, path.at[cell[0], cell[1]].set(1), length + 1

        def on_the_way(carry: _Loop) -> jax.Array:
            cell, _, length = carry
            return jnp.any(cell != 0) & (length < scores.size)  # a NaN among the costs leads nowhere

        end = jnp.array([height - 1, width - 1])
        path = jnp.zeros_like(scores).at[height - 1, width - 1].set(1)
        return jax.lax.while_loop(on_the_way, walk, (end, path, jnp.array(1)))[1]

    return oracle
