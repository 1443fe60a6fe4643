"""Yogi: Adam whose second moment moves by an additive, not a multiplicative, step.

    m_t = b1 m_{t-1} + (1 - b1) g_t
    v_t = v_{t-1} - (1 - b2) sign(v_{t-1} - |g_t|^2) |g_t|^2
    u_t = -lr_t m^_t / (sqrt(v^_t + eps_root) + eps),   m^_t = m_t / (1 - b1^t),   v^_t = v_t / (1 - b2^t)

Source: Zaheer et al. 2018, "Adaptive methods for nonconvex optimization", NeurIPS, Algorithm 2.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    abs_sq,
    chain,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
    second_moment,
)
from nablax.optimizers._adam import ScaleByAdamState
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


def _yogi(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, b1: Any, b2: Any, eps: Any, eps_root: Any, c1: Any, c2: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mu = lerp(mu, g, b1)
    square = abs_sq(g)
    nu = nu - (1 - b2) * jnp.sign(nu - square) * square
    return (mu / c1) / (jnp.sqrt(nu / c2 + eps_root) + eps), mu, nu


def _corrections(count: jax.Array, b1: Any, b2: Any) -> dict[str, Any]:
    return {"c1": 1 - b1**count, "c2": 1 - b2**count}


@checked()
def scale_by_yogi(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-3,
    eps_root: float = 0.0,
    initial_accumulator_value: float = 1e-6,
) -> GradientTransformation:
    """Yogi's direction; its state is Adam's.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps, eps_root: added to the root and inside it, not negative.
      initial_accumulator_value: v_0, not negative. m_0 is zero, so that zero gradients move nothing.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; all are those of the paper.

    Source: Zaheer et al. 2018.
    """

    state = fields(
        ScaleByAdamState,
        count=count(),
        mu=first_moment(),
        nu=second_moment(fill=initial_accumulator_value),
    )

    return leafwise(
        _yogi, state, hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}, scalars=_corrections
    )


@checked()
def yogi(
    learning_rate: ScalarOrSchedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-3
) -> GradientTransformationExtraArgs:
    """Yogi: Adam whose effective learning rate grows slowly only.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps: as in `scale_by_yogi`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; all are those of the paper.

    Source: Zaheer et al. 2018, "Adaptive methods for nonconvex optimization", NeurIPS.
    """
    return chain(scale_by_yogi(b1, b2, eps), scale_by_learning_rate(learning_rate))
