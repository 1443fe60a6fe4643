"""MADGRAD: momentum on dual averaging, with a cube root where Adagrad has a square root.

    l_t = (|lr_t| + eps) sqrt(t + 1)        t = 0, 1, ...;   a negative rate ascends, by the sign in s_t
    s_t = s_{t-1} + sign(lr_t) l_t g_t,   v_t = v_{t-1} + l_t |g_t|^2
    z_t = p_0 - s_t / (v_t^(1/3) + eps)
    p_{t+1} = momentum p_t + (1 - momentum) z_t

Source: Defazio & Jelassi 2021, arXiv:2101.11075, Algorithm 1.
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
    abs_sq,
    accumulator,
    chain,
    count,
    fields,
    leafwise,
    number,
    second_moment,
    snapshot,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights


class MadgradState(NamedTuple):
    """count: updates so far, int32. grad_sum_sq: v, real. s. x0: p_0. All three at least float32."""

    count: jax.Array  # type: ignore[assignment]
    grad_sum_sq: Any
    s: Any
    x0: Any


def _madgrad(
    g: jax.Array, params: jax.Array, grad_sum_sq: jax.Array, s: jax.Array, x0: jax.Array, *,
    weight: Any, signed: Any, momentum: Any, eps: Any,
) -> tuple[jax.Array, ...]:  # fmt: skip
    grad_sum_sq = grad_sum_sq + weight * abs_sq(g)
    s = s + signed * g
    below = jnp.cbrt(grad_sum_sq) + eps
    z = x0 - s / jnp.where(below > 0, below, 1.0)
    return (1 - momentum) * (z - params), grad_sum_sq, s, x0


def _weight(count: jax.Array, learning_rate: Any, eps: Any) -> dict[str, Any]:
    weight = (abs(learning_rate) + eps) * jnp.sqrt(count)
    return {"weight": weight, "signed": jnp.where(learning_rate < 0, -weight, weight)}


@checked(momentum=number(0, 1, open_high=True))
def scale_by_madgrad(
    learning_rate: ScalarOrSchedule, momentum: float = 0.9, eps: float = 1e-6
) -> GradientTransformation:
    """Turns gradients into MADGRAD's steps, their sign and rate included.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      momentum: weight of the last iterate, in [0, 1).
      eps: added to the cube root and to the learning rate, not negative.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in `madgrad`.

    Source: Defazio & Jelassi 2021, arXiv:2101.11075.
    """

    state = fields(MadgradState, count=count(), grad_sum_sq=second_moment(), s=accumulator(), x0=snapshot())

    return leafwise(
        _madgrad,
        state,
        hyperparams={"learning_rate": learning_rate, "momentum": momentum, "eps": eps},
        scalars=_weight,
    )


@checked(momentum=number(0, 1, open_high=True))
def madgrad(
    learning_rate: ScalarOrSchedule,
    momentum: float = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    eps: float = 1e-6,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """MADGRAD: the generalisation of SGD at the speed of adaptive methods.

    Args:
      learning_rate, momentum, eps: as in `scale_by_madgrad`.
      weight_decay: added to the gradient.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; momentum and eps are those of the authors' implementation.

    Source: Defazio & Jelassi 2021, arXiv:2101.11075.
    """
    return chain(add_decayed_weights(weight_decay, mask), scale_by_madgrad(learning_rate, momentum, eps))
