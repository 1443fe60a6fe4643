"""Popov's method: extra-gradient that extrapolates with the past gradient, so that a step costs one gradient.

    x_half_k = x_k - lr g(x_half_{k-1})
    x_{k+1}  = x_k - lr g(x_half_k)

The parameters are the points x_half, where gradients are needed; x_k itself is never formed. At a constant learning
rate this is the optimistic gradient method.

Sources: Popov 1980, doi:10.1007/BF01141092; Gidel et al. 2019, arXiv:1802.10551, Algorithm 4, option 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from nablax.core import (
    FLAG,
    RATE,
    TRANSFORMATION,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    checked,
    fields,
    first_moment,
    leafwise,
    moment_like,
    wrapper,
)
from nablax.games._extragradient import in_full_steps, stepper


class PastExtragradientState(NamedTuple):
    """base_state: of the base, updated twice a step. ahead: x_half_k - x_k, structure and shapes of params."""

    base_state: Any
    ahead: Any


class _Moves(NamedTuple):
    ahead: Any
    next_ahead: Any


_moves = fields(_Moves, ahead=first_moment(), next_ahead=first_moment())


def _move(g: jax.Array, ahead: jax.Array, next_ahead: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    return g + (next_ahead - ahead), next_ahead, next_ahead


@checked(learning_rate=RATE, base=TRANSFORMATION, ascend=FLAG)
def past_extragradient(
    learning_rate: ScalarOrSchedule | None = None, *, base: Any = None, ascend: bool = False
) -> GradientTransformationExtraArgs:
    """Past extra-gradient: one gradient a step, used for the step and for the next extrapolation.

    Args:
      learning_rate: number, traced number or schedule of the count of full steps (updates). Negative ascends.
      base: any gradient transformation that makes both moves, instead of a learning rate; `base=adam(1e-3)` is
        Extra-Adam with extrapolation from the past. Its moments take in each gradient twice, as in the source.
      ascend: climb instead of descend.

    Raises:
      ArgumentError: neither learning_rate nor base, or no number.
      HyperparameterError: 0, infinity, NaN, or a negative learning rate with ascend=True.

    Source: Popov 1980, doi:10.1007/BF01141092; Gidel et al. 2019, arXiv:1802.10551.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = past_extragradient(0.5)
      >>> state = tx.init(jnp.zeros(()))
      >>> for g in (1.0, 3.0):
      ...     update, state = tx.update(jnp.array(g), state)
      >>> float(update)  # -lr (2 g_k - g_{k-1})
      -2.5
    """
    base_moves = stepper("past_extragradient", learning_rate, base, ascend)
    # Updates of the base: 0 makes x_1, then 1 the extrapolation and 2 the step of full step 1, and so on.
    tx = in_full_steps(base_moves, lambda count: (count + 1) // 2)

    move = leafwise(_move, init=_moves, name="past_extragradient")

    def init(params: Any) -> PastExtragradientState:
        return PastExtragradientState(tx.init(params), moment_like(params))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        step, base_state = tx.update(updates, state.base_state, params, **extra)
        next_ahead, base_state = tx.update(updates, base_state, params, **extra)
        total, moves = move.update(step, _Moves(state.ahead, next_ahead))
        return total, PastExtragradientState(base_state, moves.ahead)

    return wrapper(init, update, {"base": tx}, {"base": ("base_state",)})
