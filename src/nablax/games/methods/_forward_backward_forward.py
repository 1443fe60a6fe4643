"""Tseng's method: z_half = P(z - lr F(z)), z' = P(z_half - lr (F(z_half) - F(z))).

Without constraints it is extra-gradient; with them it saves nothing here, as the result is projected as well, but its
second step needs no projection to converge. For monotone L-Lipschitz fields, lr < 1/L.
"""

from __future__ import annotations

from typing import Any

from nablax import tree
from nablax.games._extragradient import in_full_steps
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def forward_backward_forward(learning_rate: Any) -> Method:
    """Tseng's forward-backward-forward splitting.

    Args:
      learning_rate: positive number, schedule of full steps, any gradient transformation (the second move is the
        difference of its two), or a dict of these by player.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Tseng 2000, doi:10.1137/S0363012998338806.
    """
    tx = in_full_steps(as_base("forward_backward_forward", learning_rate), lambda count: count // 2)

    def step(field: Field, z: Any, state: Any) -> Step:
        value = field(z)
        forward, state = tx.update(value, state, z)
        half = move(field, z, forward)
        again, state = tx.update(field(half), state, half)
        return Step(move(field, half, tree.sub(again, forward)), state, z, value, half)

    return Method("forward-backward-forward", lambda field, z: tx.init(z), step, 2)
