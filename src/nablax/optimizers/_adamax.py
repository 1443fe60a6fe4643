"""Adamax: Adam in the infinity norm.

    m_t = b1 m_{t-1} + (1 - b1) g_t
    n_t = max(b2 n_{t-1}, |g_t| + eps)
    u_t = -lr_t m_t / ((1 - b1^t) n_t)

Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2 (eps keeps n_t positive).
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
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


def _adamax(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, b1: Any, b2: Any, eps: Any, c1: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mu = lerp(mu, g, b1)
    nu = jnp.maximum(b2 * nu, jnp.abs(g) + eps)
    return mu / (c1 * nu), mu, nu


def _correction(count: jax.Array, b1: Any) -> dict[str, Any]:
    return {"c1": 1 - b1**count}


@checked()
def scale_by_adamax(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> GradientTransformation:
    """Adamax's direction; its state is Adam's, with n_t in the place of the second moment.

    Args:
      b1, b2: decays, in [0, 1).
      eps: added to |g|, not negative.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `adamax`.

    Source: Kingma & Ba 2015, arXiv:1412.6980, section 7.1.
    """

    state = fields(ScaleByAdamState, count=count(), mu=first_moment(), nu=second_moment())

    return leafwise(_adamax, state, hyperparams={"b1": b1, "b2": b2, "eps": eps}, scalars=_correction)


@checked()
def adamax(
    learning_rate: ScalarOrSchedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> GradientTransformationExtraArgs:
    """Adam in the infinity norm: its step in each coordinate is bounded by the learning rate.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps: as in `scale_by_adamax`.

    Defaults: as in Optax; b1 and b2 are those of the paper, Algorithm 2.

    Source: Kingma & Ba 2015, arXiv:1412.6980, section 7.1.
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@checked()
def adamaxw(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Adamax with decoupled weight decay.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps: as in `scale_by_adamax`.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Defaults: as in Optax; b1 and b2 are those of Kingma & Ba 2015, Algorithm 2.

    Source: Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    return chain(
        scale_by_adamax(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
