"""LOLA: every player differentiates through the step that it expects the others to take.

    G_i = dl_i/dz_i - eta sum_{j != i} (d^2 l_j / dz_i dz_j) dl_i/dz_j,   z' = P(z - lr G)

the gradient of l_i(z_i, z_j - eta dl_j/dz_j) to first order in eta, the others' step alone depending on z_i.
"""

from __future__ import annotations

from typing import Any

import jax

from nablax import tree
from nablax.core import check_number
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move, need_players


def lola(learning_rate: Any, *, opponent_rate: float | None = None) -> Method:
    """Learning with opponent-learning awareness, with exact gradients.

    Made for games without constraints: where a projection is active, its resting points are not the game's.

    Args:
      learning_rate: positive number, schedule, any gradient transformation, or a dict of these by player.
      opponent_rate: eta, the step size that players ascribe to the others, positive; default: the learning rate,
        where that is a number.

    Raises:
      HyperparameterError: a step size that is not positive.
      ArgumentError: (in `solve`) the field is an operator.

    Source: Foerster et al. 2018, arXiv:1709.04326, section 4.
    """
    base = as_base("lola", learning_rate)
    eta = learning_rate if opponent_rate is None else opponent_rate
    check_number("lola", "opponent_rate", eta, 0, open_low=True)

    def init(field: Field, z: Any) -> Any:
        need_players("lola", field)
        return base.init(z)

    def step(field: Field, z: Any, state: Any) -> Step:
        value, transposed = jax.vjp(field, dict(z))
        shaped = {}
        for p in z:
            toward = {**field.gradient(p, z), p: tree.zeros_like(z[p])}
            (pull,) = transposed(toward)
            shaped[p] = tree.add_scale(value[p], -eta, pull[p])
        updates, state = base.update(shaped, state, z)
        return Step(move(field, z, updates), state, z, value, z)

    return Method("lola", init, step, lambda field: 1 + len(field.players))
