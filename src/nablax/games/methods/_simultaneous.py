"""Simultaneous gradient descent-ascent: z' = P(z - lr F(z)).

On a bilinear game it spirals out, by a factor 1 + lr^2 s^2 a step on |z|^2 for each singular value s.
"""

from __future__ import annotations

from typing import Any

from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def simultaneous(learning_rate: Any) -> Method:
    """All players step at once, each along its own gradient.

    Args:
      learning_rate: positive number, schedule, any gradient transformation, or a dict of these by player.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Arrow, Hurwicz & Uzawa 1958.
    """
    base = as_base("simultaneous", learning_rate)

    def step(field: Field, z: Any, state: Any) -> Step:
        value = field(z)
        updates, state = base.update(value, state, z)
        return Step(move(field, z, updates), state, z, value, z)

    return Method("simultaneous", lambda field, z: base.init(z), step, 1)
