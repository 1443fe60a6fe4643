"""Past extra-gradient: one evaluation a step.

z_half_k = P(z_k - lr F(z_half_{k-1})),   z_{k+1} = P(z_k - lr F(z_half_k))
"""

from __future__ import annotations

from typing import Any

from nablax import tree
from nablax.games._extragradient import in_full_steps
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def past_extragradient(learning_rate: Any) -> Method:
    """Extra-gradient that extrapolates with the gradient of the step before (at first with none).

    The residual is that of the points z_half, where the field is known.

    Args:
      learning_rate: positive number, schedule of full steps, any gradient transformation, or a dict of these by
        player. A transformation makes both moves.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Popov 1980, doi:10.1007/BF01141092.
    """
    tx = in_full_steps(as_base("past_extragradient", learning_rate), lambda count: count // 2)

    def init(field: Field, z: Any) -> Any:
        return tx.init(z), tree.zeros_like(z)

    def step(field: Field, z: Any, state: Any) -> Step:
        base_state, previous = state
        ahead, base_state = tx.update(previous, base_state, z)
        half = move(field, z, ahead)
        value = field(half)
        updates, base_state = tx.update(value, base_state, half)
        return Step(move(field, z, updates), (base_state, value), half, value, half)

    return Method("past extragradient", init, step, 1)
