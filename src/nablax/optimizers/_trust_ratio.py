"""Layer-wise trust ratios: each leaf's step in proportion to the norm of its parameters.

    ratio = trust_coefficient |p| / (|d| + eps), 1 where either norm is 0;   u = ratio d

    LARS:     u = -lr m_t,  m_t = ratio(g_t + weight_decay p_t) + momentum m_{t-1}    (lr within m_t)
    LAMB:     u = -lr ratio(adam_t + weight_decay p_t)
    Fromage:  u = (p - lr ratio(g_t)) / sqrt(1 + lr^2) - p

Sources: You et al. 2017, arXiv:1708.03888; You et al. 2020, arXiv:1904.00962; Bernstein et al. 2020, arXiv:2002.03432.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    chain,
    counting,
    leafwise,
    times,
)
from nablax.optimizers._adam import scale_by_adam
from nablax.optimizers._arguments import checked, one_of
from nablax.transforms import (
    WeightDecaySchedule,
    add_decayed_weights,
    masked,
    scale_by_learning_rate,
    scale_by_trust_ratio,
    trace,
)


@checked(counts=False)
def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn = True,
    trust_coefficient: float = 0.001,
    eps: float = 0.0,
    trust_ratio_mask: MaskOrFn = True,
    momentum: float = 0.9,
    nesterov: bool = False,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """LARS: momentum for large batches, each layer's rate in proportion to its weights.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      weight_decay: added to the gradient.
      weight_decay_mask, mask: leaves that decay; see `add_decayed_weights`. Two names of one argument.
      trust_coefficient, eps: as in `scale_by_trust_ratio`.
      trust_ratio_mask: leaves whose step is scaled by the trust ratio.
      momentum: weight of past steps, in [0, 1].
      nesterov: look one step ahead.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; trust_coefficient and momentum are those of the paper.

    Source: You et al. 2017, arXiv:1708.03888.
    """
    if weight_decay_mask is True:
        weight_decay_mask = None
    decays = one_of("lars", weight_decay_mask=weight_decay_mask, mask=mask)
    return chain(
        masked(add_decayed_weights(weight_decay), True if decays is None else decays),
        masked(scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps), trust_ratio_mask),
        scale_by_learning_rate(learning_rate),
        trace(momentum, nesterov),
    )


@checked()
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """LAMB: AdamW for large batches, each layer's step in proportion to its weights.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root: as in `scale_by_adam`.
      weight_decay: added to Adam's direction, before the trust ratio.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1 and b2 are Adam's.

    Source: You et al. 2020, arXiv:1904.00962, Algorithm 2.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )


def _shrink(learning_rate: Any) -> Any:
    """1 / sqrt(1 + lr^2) - 1, without the cancellation that would lose a small learning rate."""
    square = jnp.square(learning_rate)
    root = jnp.sqrt(1 + square)
    return -square / (root * (1 + root))


def _shrunk_step(learning_rate: Any) -> dict[str, Any]:
    return {"factor": -(1 + _shrink(learning_rate)) * learning_rate}


def _shrinking(learning_rate: Any) -> dict[str, Any]:
    return {"shrink": _shrink(learning_rate)}


def _towards_zero(g: jax.Array, params: jax.Array, *, shrink: Any) -> jax.Array:
    return g + shrink * params


@checked()
def fromage(learning_rate: ScalarOrSchedule, min_norm: float = 1e-6) -> GradientTransformationExtraArgs:
    """Fromage: a step of relative size lr in each leaf, and back to where the norm does not grow.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      min_norm: least norm of parameters and of gradients, not negative.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax.

    Source: Bernstein et al. 2020, arXiv:2002.03432, Algorithm 1.
    """
    rate = {"learning_rate": learning_rate}
    return chain(
        scale_by_trust_ratio(min_norm),
        leafwise(times, counting(learning_rate), name="step", hyperparams=rate, scalars=_shrunk_step),
        leafwise(
            _towards_zero,
            counting(learning_rate, WeightDecaySchedule),
            name="shrink",
            hyperparams=rate,
            scalars=_shrinking,
        ),
    )
