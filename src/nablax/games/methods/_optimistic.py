"""Optimistic gradient: z_{k+1} = P(z_k - lr (2 F(z_k) - F(z_{k-1}))), with F(z_{-1}) = F(z_0).

On a bilinear game it contracts iff lr s < 1/sqrt(3).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from nablax import tree
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def optimistic(learning_rate: Any) -> Method:
    """Steps along twice the gradient less the one before it.

    Args:
      learning_rate: positive number, schedule, any gradient transformation (which is fed the optimistic gradient), or
        a dict of these by player.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Daskalakis et al. 2018, arXiv:1711.00141.
    """
    base = as_base("optimistic", learning_rate)

    def init(field: Field, z: Any) -> Any:
        return base.init(z), tree.zeros_like(z), jnp.ones((), bool)

    def step(field: Field, z: Any, state: Any) -> Step:
        base_state, previous, first = state
        value = field(z)
        previous = tree.where(first, value, previous)
        guess = tree.sub(tree.scale(2, value), previous)
        updates, base_state = base.update(guess, base_state, z)
        return Step(move(field, z, updates), (base_state, value, jnp.zeros((), bool)), z, value, z)

    return Method("optimistic", init, step, 1)
