"""Consensus optimization: z' = P(z - lr (F(z) + weight J^T F(z))), J = dF/dz.

The second term is the gradient of |F|^2/2, which all players would like small. On f = x y, |z|^2 shrinks by
(1 - lr weight)^2 + lr^2.
"""

from __future__ import annotations

from typing import Any

import jax

from nablax import tree
from nablax.core import check_nonnegative
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def consensus(learning_rate: Any, *, weight: float = 1.0) -> Method:
    """Consensus optimization: a step costs one evaluation and one product with the transposed Jacobian.

    Made for games without constraints: where a projection is active, its resting points are not the game's.

    Args:
      learning_rate: positive number, schedule, any gradient transformation, or a dict of these by player.
      weight: of the gradient of |F|^2/2, not negative.

    Raises:
      HyperparameterError: a step size that is not positive, or a negative weight.

    Defaults: weight = 1 is a place to start; the paper tunes it.

    Source: Mescheder et al. 2017, arXiv:1705.10461.
    """
    base = as_base("consensus", learning_rate)
    check_nonnegative("consensus", weight=weight)

    def step(field: Field, z: Any, state: Any) -> Step:
        value, transposed = jax.vjp(field, z)
        (pull,) = transposed(value)
        updates, state = base.update(tree.add_scale(value, weight, pull), state, z)
        return Step(move(field, z, updates), state, z, value, z)

    return Method("consensus", lambda field, z: base.init(z), step, 1)
