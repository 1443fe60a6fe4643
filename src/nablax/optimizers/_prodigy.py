"""Prodigy: D-Adaptation that grows its estimate d of the distance to the solution faster.

    l_t = d_t lr_t sqrt(1 - b2^t) / (1 - b1^t)
    N_t = b3 N_{t-1} + (d_t / d_0) l_t sum <g_t, p_0 - p_t>
    m_t = b1 m_{t-1} + (1 - b1) d_t g_t,   v_t = b2 v_{t-1} + (1 - b2) d_t^2 |g_t|^2
    s_t = b3 s_{t-1} + (d_t / d_0) l_t g_t
    d_{t+1} = max(d_t, estim_lr_coef N_t / |s_t|_1)
    u_t = -l_t (m_t / (sqrt(v_t) + eps d_{t+1}) + weight_decay p_t),   with d_{t+1} in l_t

Source: Mishchenko & Defazio 2023, arXiv:2306.06101, Algorithm 4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    abs_sq,
    accumulator,
    count,
    fields,
    first_moment,
    leafwise,
    number,
    require_params,
    scalar,
    second_moment,
    snapshot,
)
from nablax.optimizers._arguments import BETAS, checked
from nablax.optimizers._sums import abs1, inner, leaf_sums


class ProdigyState(NamedTuple):
    """exp_avg: m, like params. exp_avg_sq: v, real. grad_sum: s. params0: p_0. The last three at least float32.

    estim_lr: d. numerator_weighted: N. count: updates so far, int32.
    """

    exp_avg: Any
    exp_avg_sq: Any
    grad_sum: Any
    params0: Any
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    count: jax.Array  # type: ignore[assignment]


def _terms(g: Any, p: Any, p0: Any, s: Any, b3: Any, weight: Any) -> dict[str, Any]:
    return {"product": inner(g, p0 - p), "length": abs1(b3 * s + weight * g)}


def _measure(
    updates: Any, params: Any, *, params0: Any, grad_sum: Any, estim_lr: Any, count: Any,
    learning_rate: Any, b1: Any, b2: Any, b3: Any, estim_lr0: Any, safeguard_warmup: bool,
) -> dict[str, Any]:  # fmt: skip
    require_params("prodigy", params)
    t = count + 1
    corrected = learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    rate = estim_lr * corrected
    relative = estim_lr / estim_lr0
    weight = relative * (estim_lr if safeguard_warmup else rate)
    sums = leaf_sums(_terms, updates, params, params0, grad_sum, b3=b3, weight=weight)
    return {**sums, "distance": estim_lr, "corrected": corrected, "weight": weight, "gain": relative * rate}


def _scalars(
    product: Any, length: Any, distance: Any, corrected: Any, gain: Any, b3: Any, estim_lr_coef: Any,
    numerator_weighted: Any,
) -> dict[str, Any]:  # fmt: skip
    numerator = b3 * numerator_weighted + gain * product
    guess = estim_lr_coef * numerator / jnp.where(length > 0, length, 1.0)
    farther = jnp.where(length > 0, jnp.maximum(distance, guess), distance)
    return {
        "numerator_weighted": numerator,
        "estim_lr": farther,
        "rate": farther * corrected,
        "farther": farther,
    }


def _prodigy(
    g: jax.Array, params: jax.Array, exp_avg: jax.Array, exp_avg_sq: jax.Array, grad_sum: jax.Array, *,
    b1: Any, b2: Any, b3: Any, eps: Any, weight_decay: Any,
    distance: Any, farther: Any, rate: Any, weight: Any, decays: bool,
) -> tuple[jax.Array, ...]:  # fmt: skip
    exp_avg = b1 * exp_avg + (1 - b1) * distance * g
    exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * jnp.square(distance) * abs_sq(g)
    direction = exp_avg / (jnp.sqrt(exp_avg_sq) + farther * eps)
    if decays:
        direction = direction + weight_decay * params
    return -rate * direction, exp_avg, exp_avg_sq, b3 * grad_sum + weight * g


@checked(betas=BETAS, beta3=number(0, 1, open_high=True))
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None,
    eps: float = 1e-8,
    estim_lr0: float = 1e-6,
    estim_lr_coef: float = 1.0,
    weight_decay: ScalarOrSchedule = 0.0,
    safeguard_warmup: bool = False,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """AdamW that finds its learning rate, faster than `dadapt_adamw`.

    Args:
      learning_rate: factor of the rate it finds; a number, a traced number or a schedule that starts from 1, or from
        -1 to ascend.
      betas: decays of the moments, in [0, 1).
      beta3: decay of the estimate's sums, in [0, 1); None takes the root of the second of betas.
      eps: added to the root, not negative.
      estim_lr0: first, too small, estimate of the learning rate, positive.
      estim_lr_coef: factor of the estimate, positive.
      weight_decay: multiplied by the learning rate.
      safeguard_warmup: keep the learning rate out of the estimate's denominator, for schedules with a warm-up.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; estim_lr0 and estim_lr_coef are those of the authors' implementation, betas are Adam's.

    Source: Mishchenko & Defazio 2023, arXiv:2306.06101.
    """
    b1, b2 = betas

    state = fields(
        ProdigyState,
        exp_avg=first_moment(),
        exp_avg_sq=second_moment(),
        grad_sum=accumulator(),
        params0=snapshot(),
        estim_lr=scalar(estim_lr0),
        numerator_weighted=scalar(0.0),
        count=count(),
    )

    hyperparams = {
        "learning_rate": learning_rate,
        "b1": b1,
        "b2": b2,
        "b3": b2**0.5 if beta3 is None else beta3,
        "eps": eps,
        "estim_lr0": estim_lr0,
        "estim_lr_coef": estim_lr_coef,
        "weight_decay": weight_decay,
    }
    return leafwise(
        _prodigy,
        state,
        hyperparams=hyperparams,
        options={"safeguard_warmup": safeguard_warmup},
        measure=_measure,
        scalars=_scalars,
        flags={"decays": mask},
    )
