"""How far strategies are from equilibrium: duality gap and exploitability.

Sources: von Neumann 1928; Lanctot et al. 2017, arXiv:1711.00832 (NashConv).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import ARRAY, ARRAYS, ITERABLE, ArgumentError, StructureError


def duality_gap(a: Any, x: Any, y: Any) -> jax.Array:
    """The gap of the matrix game min_x max_y x^T A y on simplices: max_j (A^T x)_j - min_i (A y)_i.

    It is not negative, zero exactly at equilibria, and bounds the error of both values: (A y)_min <= v <= (A^T x)_max.

    Args:
      a: payoffs to the maximiser, shape (n, m).
      x: strategy of the minimiser, shape (n,), a probability vector.
      y: strategy of the maximiser, shape (m,).

    Raises:
      StructureError: the shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> a = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])  # rock, paper, scissors
      >>> rock, mixed = jnp.array([1.0, 0.0, 0.0]), jnp.full(3, 1 / 3)
      >>> float(duality_gap(a, rock, mixed)), float(duality_gap(a, mixed, mixed))
      (1.0, 0.0)
    """
    for name, given in (("a", a), ("x", x), ("y", y)):
        ARRAY("games.duality_gap", name, given)
    a, x, y = jnp.asarray(a), jnp.asarray(x), jnp.asarray(y)
    if a.ndim != 2 or x.shape != a.shape[:1] or y.shape != a.shape[1:]:
        raise StructureError(
            "games.duality_gap: a, x and y must have shapes (n, m), (n,) and (m,), got "
            f"{a.shape}, {x.shape}, {y.shape}."
        )
    best = jnp.max(jnp.matmul(x, a, precision="highest")) - jnp.min(jnp.matmul(a, y, precision="highest"))
    return jnp.maximum(best, 0)  # rounding may leave less


def exploitability(payoffs: Sequence[Any], strategies: Sequence[Any]) -> jax.Array:
    """What a player gains, on average over players, by the best answer to the others.

        (1/n) sum_i (max_a u_i(a, s_-i) - u_i(s))

    It is not negative, and zero exactly at Nash equilibria. For the zero-sum game of a matrix it is half the duality
    gap.

    Args:
      payoffs: for each of n players, the payoffs that it maximises: an array with one axis a player, in order.
      strategies: for each player a probability vector over its axis.

    Raises:
      ArgumentError: not one strategy a player.
      StructureError: the shapes do not fit.

    Example: matching pennies, the second player always heads.
      >>> import jax.numpy as jnp
      >>> u = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
      >>> float(exploitability([u, -u], [jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0])]))
      0.5
    """
    ITERABLE("games.exploitability", "payoffs", payoffs)
    ITERABLE("games.exploitability", "strategies", strategies)
    payoffs, strategies = list(payoffs), list(strategies)
    for name, given in (("payoffs", payoffs), ("strategies", strategies)):
        ARRAYS("games.exploitability", name, given)
    payoffs = [jnp.asarray(u) for u in payoffs]
    strategies = [jnp.asarray(s) for s in strategies]
    if not payoffs or len(payoffs) != len(strategies):
        raise ArgumentError(
            f"games.exploitability: give one strategy for each of {len(payoffs)} payoffs, got {len(strategies)}."
        )
    shape = tuple(s.shape[0] if s.ndim == 1 else -1 for s in strategies)
    for i, u in enumerate(payoffs):
        if u.shape != shape:
            raise StructureError(
                f"games.exploitability: payoffs[{i}] must have one axis a player, {shape}, got {u.shape}."
            )
    gains = []
    for i, u in enumerate(payoffs):
        for j in reversed(
            range(len(strategies))
        ):  # from the last axis, so that earlier ones keep their place
            if j != i:
                u = jnp.tensordot(u, strategies[j], axes=(j, 0))
        gains.append(jnp.maximum(jnp.max(u) - u @ strategies[i], 0))
    return sum(gains[1:], gains[0]) / len(gains)
