"""Competitive gradient descent: both players solve the game's local bilinear approximation.

    dx = -lr (I - lr^2 J_xy J_yx)^{-1} (F_x - lr J_xy F_y),   dy = -lr (F_y + J_yx dx)

with J_xy = dF_x/dy. In a zero-sum game J_yx = -J_xy^T: the matrix is symmetric and positive definite, and conjugate
gradients solve the system by products with J alone. On a bilinear game |z|^2 shrinks by 1/(1 + lr^2 s^2), at any lr.
"""

from __future__ import annotations

from typing import Any

import jax
from jax.scipy.sparse.linalg import bicgstab, cg

from nablax import tree
from nablax.core import check_number
from nablax.games._field import Field, ZeroSum
from nablax.games.methods._method import Method, Step, as_base, move, need_players


def competitive(
    learning_rate: float, *, base: Any = None, tol: float = 1e-6, max_steps: int | None = None
) -> Method:
    """Competitive gradient descent, for games of two players.

    Made for games without constraints: where a projection is active, its resting points are not the game's.

    Args:
      learning_rate: positive number: lr above.
      base: any gradient transformation, fed (dx, dy) / -lr; default: the step (dx, dy) itself.
      tol: of the linear solve, relative to its right side.
      max_steps: of the linear solve; default: until the tolerance, ten times the unknowns at most.

    Raises:
      HyperparameterError: a step size or tol that is not positive.
      ArgumentError: (in `solve`) the game does not have two players.

    Defaults: tol = 1e-6 is about ten units in the last place of float32.

    Source: Schaefer & Anandkumar 2019, arXiv:1905.12103, Algorithm 1.
    """
    for name, value in {"learning_rate": learning_rate, "tol": tol}.items():
        check_number("competitive", name, value, 0, open_low=True)
    tx = as_base("competitive", learning_rate if base is None else base)
    lr = learning_rate

    def init(field: Field, z: Any) -> Any:
        need_players("competitive", field, 2)
        return tx.init(z)

    def step(field: Field, z: Any, state: Any) -> Step:
        x, y = field.players
        value, times = jax.linearize(field, dict(z))
        zeros = tree.zeros_like(dict(z))

        def j_xy(v: Any) -> Any:
            return times({**zeros, y: v})[x]

        def j_yx(v: Any) -> Any:
            return times({**zeros, x: v})[y]

        # Conjugate gradients need the symmetry of zero-sum games; in others the system has none.
        solve = cg if isinstance(field, ZeroSum) else bicgstab
        right = tree.add_scale(value[x], -lr, j_xy(value[y]))
        along_x, _ = solve(
            lambda v: tree.add_scale(v, -(lr**2), j_xy(j_yx(v))), right, tol=tol, maxiter=max_steps
        )
        along_y = tree.add_scale(value[y], -lr, j_yx(along_x))
        along = {p: along_x if p == x else along_y for p in z}
        updates, state = tx.update(tree.cast_like(along, z), state, z)
        return Step(move(field, z, updates), state, z, value, z)

    return Method("competitive", init, step, 1)
