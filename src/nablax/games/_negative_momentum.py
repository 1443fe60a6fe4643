"""Gradient steps with negative momentum, between -1 and 0.

    v_{t+1} = g_t + momentum v_t          x_{t+1} = x_t - lr_t v_{t+1}

With a constant rate that is x_{t+1} = x_t - lr g_t + momentum (x_t - x_{t-1}).

Momentum in the direction of the game's rotation speeds it up; against it, it damps. With alternating steps and
momentum -1/2 the bilinear game is solved at a linear rate, where momentum 0 circles and positive momentum spirals out.

Source: Gidel et al. 2019, arXiv:1807.04740.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from nablax.core import (
    FLAG,
    RATE,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
    checked,
    leafwise,
    moment_like,
    number,
)
from nablax.transforms import scale_by_learning_rate


class NegativeMomentumState(NamedTuple):
    """velocity: (x_t - x_{t-1}) / -lr for a constant rate; structure, shapes and dtypes of params."""

    velocity: Any


def _momentum(g: jax.Array, velocity: jax.Array, *, momentum: Any) -> tuple[jax.Array, jax.Array]:
    velocity = g + momentum * velocity
    return velocity, velocity


def _init(params: Any) -> NegativeMomentumState:
    return NegativeMomentumState(moment_like(params))


@checked(learning_rate=RATE, momentum=number(-1, 0, open_low=True), ascend=FLAG)
def negative_momentum(
    learning_rate: ScalarOrSchedule, momentum: float = -0.5, *, ascend: bool = False
) -> GradientTransformationExtraArgs:
    """Gradient descent with momentum between -1 and 0; best where players step in turns.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      momentum: in (-1, 0].
      ascend: climb instead of descend.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: momentum = -0.5 is that of the paper's theorem for alternating steps on bilinear games.

    Source: Gidel et al. 2019, arXiv:1807.04740.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = negative_momentum(1.0)
      >>> state = tx.init(jnp.zeros(()))
      >>> for _ in range(2):
      ...     update, state = tx.update(jnp.ones(()), state)
      >>> float(update)  # -(1 - 0.5)
      -0.5
    """
    return chain(
        leafwise(_momentum, _init, name="negative_momentum", hyperparams={"momentum": momentum}),
        scale_by_learning_rate(learning_rate, flip_sign=not ascend),
    )
