"""Alternating gradient descent-ascent: players step in turns, each seeing the moves before its own.

    x' = P(x - lr dl_x/dx (x, y)),   y' = P(y - lr dl_y/dy (x', y))

On f = x y it goes round for ever on the ellipse x^2 + y^2 - lr x y = const.
"""

from __future__ import annotations

from typing import Any

from nablax.core import apply_updates
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, need_players


def alternating(learning_rate: Any) -> Method:
    """Players step one after the other, in the order in which the game names them.

    A step costs one evaluation of the field, for the first player, and one gradient for each further player.

    Args:
      learning_rate: positive number, schedule, any gradient transformation (each player has its own state of it), or a
        dict of these by player.

    Raises:
      HyperparameterError: a step size that is not positive.
      ArgumentError: (in `solve`) the field is an operator.

    Source: Gidel et al. 2019, arXiv:1807.04740; Zhang et al. 2022, arXiv:2102.09468.
    """
    base = as_base("alternating", learning_rate)

    def of(player: str) -> Any:
        return base.children[player] if isinstance(learning_rate, dict) else base

    def init(field: Field, z: Any) -> Any:
        need_players("alternating", field)
        if isinstance(learning_rate, dict):
            base.init(z)  # which checks the names
        return {p: of(p).init(z[p]) for p in field.players}

    def step(field: Field, z: Any, state: Any) -> Step:
        value, states, new = field(z), dict(state), dict(z)
        for i, p in enumerate(field.players):
            g = value[p] if i == 0 else field.own(p, new)
            updates, states[p] = of(p).update(g, state[p], new[p])
            new[p] = field.project_one(p, apply_updates(new[p], updates))
        return Step(new, states, z, value, z)

    return Method("alternating", init, step, lambda field: len(field.players))
