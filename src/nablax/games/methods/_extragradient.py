"""Extra-gradient: z_half = P(z - gamma F(z)), z' = P(z - lr F(z_half)).

On a bilinear game, per singular value s, |z|^2 shrinks by (1 - lr gamma s^2)^2 + lr^2 s^2.
"""

from __future__ import annotations

from typing import Any

from nablax.games._extragradient import in_full_steps
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def extragradient(learning_rate: Any, *, extrapolation: Any = None) -> Method:
    """Extra-gradient, with one step size or two.

    Args:
      learning_rate: positive number, schedule of full steps, any gradient transformation, or a dict of these by
        player. A transformation makes both moves, its state going on through both.
      extrapolation: the same for the first move, with a state of its own; default: as the learning rate.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Korpelevich 1976; Gidel et al. 2019, arXiv:1802.10551. Two step sizes: Hsieh et al. 2020, arXiv:2003.10162.
    """
    base = as_base("extragradient", learning_rate)
    if extrapolation is not None:
        return _two_sizes(base, as_base("extragradient", extrapolation, "extrapolation"))
    tx = in_full_steps(base, lambda count: count // 2)

    def step(field: Field, z: Any, state: Any) -> Step:
        value = field(z)
        ahead, state = tx.update(value, state, z)
        half = move(field, z, ahead)
        updates, state = tx.update(field(half), state, half)
        return Step(move(field, z, updates), state, z, value, half)

    return Method("extragradient", lambda field, z: tx.init(z), step, 2)


def _two_sizes(base: Any, first: Any) -> Method:
    def step(field: Field, z: Any, state: Any) -> Step:
        value = field(z)
        ahead, first_state = first.update(value, state[0], z)
        half = move(field, z, ahead)
        updates, base_state = base.update(field(half), state[1], half)
        return Step(move(field, z, updates), (first_state, base_state), z, value, half)

    return Method("extragradient", lambda field, z: (first.init(z), base.init(z)), step, 2)
