"""Symplectic gradient adjustment: z' = P(z - lr (F + weight A^T F)), A = (J - J^T)/2, J = dF/dz.

A is the part of the Jacobian that rotates; A^T F = (J^T F - J F)/2. On f = x y, |z|^2 shrinks by
(1 - lr weight)^2 + lr^2. With `align` the weight takes the sign of <F, J^T F> <A^T F, J^T F> + 1/10, so that the
adjustment is drawn to stable points and driven from unstable ones.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import check_number
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move

_EPSILON = 0.1  # of the source, section 3.5: tells weak attraction from weak repulsion


def symplectic(learning_rate: Any, *, weight: float = 1.0, align: bool = False) -> Method:
    """Symplectic gradient adjustment: one evaluation and two products with the Jacobian a step.

    Made for games without constraints: where a projection is active, its resting points are not the game's.

    Args:
      learning_rate: positive number, schedule, any gradient transformation, or a dict of these by player.
      weight: of the adjustment.
      align: choose the sign of the weight by the criterion of the source.

    Raises:
      HyperparameterError: a step size that is not positive, or a weight that is NaN.

    Defaults: weight = 1 is the paper's adjustment with lambda = 1.

    Source: Balduzzi et al. 2018, arXiv:1802.05642, Algorithm 1.
    """
    base = as_base("symplectic", learning_rate)
    check_number("symplectic", "weight", weight)

    def step(field: Field, z: Any, state: Any) -> Step:
        value, times = jax.linearize(field, z)
        (pull,) = jax.linear_transpose(times, z)(value)
        adjustment = tree.scale(0.5, tree.sub(pull, times(value)))
        factor: Any = weight
        if align:
            factor = weight * jnp.sign(
                tree.vdot(value, pull) * tree.vdot(adjustment, pull) / tree.size(z) + _EPSILON
            )
        updates, state = base.update(tree.add_scale(value, factor, adjustment), state, z)
        return Step(move(field, z, updates), state, z, value, z)

    return Method("symplectic", lambda field, z: base.init(z), step, 1)
