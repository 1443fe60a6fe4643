"""D-Adaptation for AdamW: the learning rate from a growing lower bound d of the distance to the solution.

    l_t = d_t lr_t sqrt(1 - b2^t) / (1 - b1^t)
    N_t = sqrt(b2) N_{t-1} + (1 - sqrt(b2)) l_t sum <g_t, s_{t-1} / (sqrt(v_{t-1}) + eps)>
    m_t = b1 m_{t-1} + (1 - b1) l_t g_t,   v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
    s_t = sqrt(b2) s_{t-1} + (1 - sqrt(b2)) l_t g_t
    d_{t+1} = max(d_t, N_t / ((1 - sqrt(b2)) |s_t|_1))
    u_t = -m_t / (sqrt(v_t) + eps) - weight_decay l_t p_t

Source: Defazio & Mishchenko 2023, arXiv:2301.07733, Algorithm 5 and the authors' refinements.
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
    lerp,
    plain,
    scalar,
    second_moment,
)
from nablax.optimizers._arguments import BETAS, checked
from nablax.optimizers._sums import abs1, inner, leaf_sums


class DAdaptAdamWState(NamedTuple):
    """exp_avg: m, like params. exp_avg_sq: v, real. grad_sum: s; both at least float32.

    estim_lr: d. numerator_weighted: N. count: updates so far, int32.
    """

    exp_avg: Any
    exp_avg_sq: Any
    grad_sum: Any
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    count: jax.Array  # type: ignore[assignment]


def _next_sum(g: Any, grad_sum: Any, root: Any, rest: Any, rate: Any) -> Any:
    return root * grad_sum + rest * rate * g


def _terms(g: Any, v: Any, s: Any, root: Any, rest: Any, rate: Any, eps: Any) -> dict[str, Any]:
    below = jnp.sqrt(v) + eps
    return {
        "product": inner(g, s) / jnp.where(below > 0, below, 1.0),
        "length": abs1(_next_sum(g, s, root, rest, rate)),
    }


def _measure(
    updates: Any, params: Any, *, exp_avg_sq: Any, grad_sum: Any, estim_lr: Any, count: Any,
    learning_rate: Any, b1: Any, b2: Any, eps: Any,
) -> dict[str, Any]:  # fmt: skip
    t = count + 1
    root = jnp.sqrt(plain(b2))
    rest = (1 - b2) / (1 + root)  # 1 - root, without its cancellation
    rate = estim_lr * learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    sums = leaf_sums(_terms, updates, exp_avg_sq, grad_sum, root=root, rest=rest, rate=rate, eps=eps)
    return {**sums, "root": root, "rest": rest, "rate": rate}


def _scalars(
    product: Any, length: Any, root: Any, rest: Any, rate: Any, estim_lr: Any, numerator_weighted: Any
) -> dict[str, Any]:
    numerator = root * numerator_weighted + rest * rate * product
    below = rest * length
    guess = jnp.where(below > 0, numerator / jnp.where(below > 0, below, 1.0), estim_lr)
    return {"numerator_weighted": numerator, "estim_lr": jnp.maximum(estim_lr, guess)}


def _dadapt(
    g: jax.Array, params: jax.Array, exp_avg: jax.Array, exp_avg_sq: jax.Array, grad_sum: jax.Array, *,
    root: Any, rest: Any, rate: Any, b1: Any, b2: Any, eps: Any, weight_decay: Any, decays: bool,
) -> tuple[jax.Array, ...]:  # fmt: skip
    exp_avg = b1 * exp_avg + (1 - b1) * rate * g
    exp_avg_sq = lerp(exp_avg_sq, abs_sq(g), b2)
    update = -exp_avg / (jnp.sqrt(exp_avg_sq) + eps)
    if decays:
        update = update - weight_decay * rate * params
    return update, exp_avg, exp_avg_sq, _next_sum(g, grad_sum, root, rest, rate)


@checked(betas=BETAS)
def dadapt_adamw(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    estim_lr0: float = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """AdamW that finds its learning rate.

    Args:
      learning_rate: factor of the rate it finds; a number, a traced number or a schedule that starts from 1, or from
        -1 to ascend.
      betas: decays of the moments, in [0, 1).
      eps: added to the root, not negative.
      estim_lr0: first, too small, estimate of the learning rate, positive.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; estim_lr0 = 1e-6 is that of the paper, betas are Adam's.

    Source: Defazio & Mishchenko 2023, arXiv:2301.07733.
    """
    b1, b2 = betas

    state = fields(
        DAdaptAdamWState,
        exp_avg=first_moment(),
        exp_avg_sq=second_moment(),
        grad_sum=accumulator(),
        estim_lr=scalar(estim_lr0),
        numerator_weighted=scalar(0.0),
        count=count(),
    )

    return leafwise(
        _dadapt,
        state,
        hyperparams={
            "learning_rate": learning_rate,
            "b1": b1,
            "b2": b2,
            "eps": eps,
            "weight_decay": weight_decay,
        },
        measure=_measure,
        scalars=_scalars,
        flags={"decays": mask},
    )
