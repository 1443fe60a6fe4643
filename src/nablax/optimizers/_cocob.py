"""COCOB: betting on coins instead of choosing a learning rate. c_t = -g_t are the outcomes, for each parameter.

    L_t = max(L_{t-1}, |c_t|),   G_t = G_{t-1} + |c_t|,   T_t = T_{t-1} + c_t
    R_t = max(R_{t-1} + (p_t - p_1) c_t, 0)                                the money won so far
    p_{t+1} = p_1 + T_t (L_t + R_t) / (L_t max(G_t + L_t, alpha L_t))

A complex parameter bets in the plane: |c| is its modulus, and the money won Re((p_t - p_1) conj(c_t)).

Source: Orabona & Tommasi 2017, arXiv:1705.07795, Algorithm 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    accumulator,
    chain,
    fields,
    leafwise,
    number,
    second_moment,
    snapshot,
)
from nablax.optimizers._arguments import checked
from nablax.optimizers._sums import inner
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class COCOBState(NamedTuple):
    """Shapes of params, at least float32; all but the first two real.

    init_particles: p_1. cumulative_gradients: T. scale: L. subgradients: G. reward: R.
    """

    init_particles: Any
    cumulative_gradients: Any
    scale: Any
    subgradients: Any
    reward: Any


def _cocob(
    c: jax.Array, params: jax.Array, init_particles: jax.Array, cumulative_gradients: jax.Array,
    scale: jax.Array, subgradients: jax.Array, reward: jax.Array, *, alpha: Any,
) -> tuple[jax.Array, ...]:  # fmt: skip
    size = jnp.abs(c)
    scale = jnp.maximum(scale, size)
    subgradients = subgradients + size
    reward = jnp.maximum(reward - inner(params - init_particles, c), 0.0)
    cumulative_gradients = cumulative_gradients - c
    bet = (scale + reward) / (scale * jnp.maximum(subgradients + scale, alpha * scale))
    update = init_particles + cumulative_gradients * bet - params
    return update, init_particles, cumulative_gradients, scale, subgradients, reward


_POSITIVE = number(0, open_low=True)


@checked(alpha=_POSITIVE, eps=_POSITIVE)
def scale_by_cocob(alpha: float = 100.0, eps: float = 1e-8) -> GradientTransformation:
    """Turns gradients into COCOB's steps, which descend by themselves.

    Args:
      alpha: how many of the largest gradients seen the first bets are spread over, positive.
      eps: L_0, positive.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in `cocob`.

    Source: Orabona & Tommasi 2017, arXiv:1705.07795.
    """

    state = fields(
        COCOBState,
        init_particles=snapshot(),
        cumulative_gradients=accumulator(),
        scale=second_moment(fill=eps),
        subgradients=second_moment(),
        reward=second_moment(),
    )

    return leafwise(_cocob, state, hyperparams={"alpha": alpha})


@checked(alpha=_POSITIVE, eps=_POSITIVE)
def cocob(
    learning_rate: ScalarOrSchedule = 1.0,
    alpha: float = 100.0,
    eps: float = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """COCOB: gradient descent without a learning rate.

    Args:
      learning_rate: factor of the gradients; a number, a traced number or a schedule; a negative one ascends.
      alpha, eps: as in `scale_by_cocob`.
      weight_decay: added to the gradient.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; alpha = 100 is that of the paper, Algorithm 2.

    Source: Orabona & Tommasi 2017, arXiv:1705.07795.
    """
    return chain(
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate, flip_sign=False),
        scale_by_cocob(alpha, eps),
    )
