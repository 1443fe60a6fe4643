"""ACProp: AdaBelief whose denominator is one step older than its numerator.

    s_t = b2 s_{t-1} + (1 - b2) |g_t - m_{t-1}|^2 + eps_root
    m_t = b1 m_{t-1} + (1 - b1) g_t
    u_t = -lr_t (g_t / (sqrt(s^_{t-1}) + eps) + weight_decay p_t),   s^_t = s_t / (1 - b2^t)

Source: Zhuang et al. 2021, arXiv:2110.05454, Algorithm 2.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    abs_sq,
    chain,
    leafwise,
    lerp,
)
from nablax.optimizers._adabelief import belief_init
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


def _acprop(
    g: jax.Array,
    mu: jax.Array,
    nu: jax.Array,
    *,
    b1: Any,
    b2: Any,
    eps: Any,
    eps_root: Any,
    c2: Any,
    first: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    direction = g / jnp.where(first, 1.0, jnp.sqrt(nu / c2) + eps)
    nu = lerp(nu, abs_sq(g - mu), b2) + eps_root
    return direction, lerp(mu, g, b1), nu


def _correction(count: jax.Array, b2: Any) -> dict[str, Any]:
    first = count == 1  # there is no earlier variance yet
    return {"c2": 1 - b2 ** jnp.maximum(count - 1, 1), "first": first}


@checked()
def scale_by_acprop(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16, eps_root: float = 1e-16
) -> GradientTransformation:
    """ACProp's direction; its state is AdaBelief's. The first gradient passes as it is.

    Args:
      b1, b2: decays of the mean and of the variance, in [0, 1).
      eps: added to the root, not negative.
      eps_root: added to the variance at every update, not negative.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `acprop`.

    Source: Zhuang et al. 2021, arXiv:2110.05454.
    """
    return leafwise(
        _acprop,
        belief_init,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root},
        scalars=_correction,
    )


@checked()
def acprop(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """ACProp: a step and the variance it is divided by never see the same noise.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root: as in `scale_by_acprop`.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1 and b2 are Adam's.

    Source: Zhuang et al. 2021, arXiv:2110.05454.
    """
    return chain(
        scale_by_acprop(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
