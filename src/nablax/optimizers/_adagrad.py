"""Adagrad: gradients over the root of the sum of their squares.

    s_t = s_{t-1} + |g_t|^2
    u_t = -lr_t g_t / sqrt(s_t + eps)

Source: Duchi et al. 2011, jmlr.org/papers/v12/duchi11a.html.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    abs_sq,
    chain,
    fields,
    leafwise,
    second_moment,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


class ScaleByRssState(NamedTuple):
    """sum_of_squares: s_t; shapes of params, real, at least float32."""

    sum_of_squares: Any


def _rss(g: jax.Array, sum_of_squares: jax.Array, *, eps: Any) -> tuple[jax.Array, jax.Array]:
    total = sum_of_squares + abs_sq(g)
    return jnp.where(total > 0, g * jax.lax.rsqrt(jnp.where(total > 0, total, 1.0) + eps), 0.0), total


@checked(counts=False)
def scale_by_rss(initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> GradientTransformation:
    """Divides gradients by the root of the sum of squares of all gradients so far.

    Args:
      initial_accumulator_value: s_0, not negative.
      eps: added inside the root, not negative.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax.

    Source: Duchi et al. 2011.
    """

    state = fields(ScaleByRssState, sum_of_squares=second_moment(fill=initial_accumulator_value))

    return leafwise(_rss, state, hyperparams={"eps": eps})


@checked(counts=False)
def adagrad(
    learning_rate: ScalarOrSchedule, initial_accumulator_value: float = 0.1, eps: float = 1e-7
) -> GradientTransformationExtraArgs:
    """Adagrad: rare coordinates keep large steps, frequent ones get small ones.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      initial_accumulator_value, eps: as in `scale_by_rss`.

    Defaults: as in Optax.

    Source: Duchi et al. 2011, jmlr.org/papers/v12/duchi11a.html.
    """
    return chain(scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate))
