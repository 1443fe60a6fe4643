"""Adadelta: the ratio of two running averages takes the place of a learning rate.

    e_t = rho e_{t-1} + (1 - rho) |g_t|^2
    d_t = g_t sqrt(x_{t-1} + eps) / sqrt(e_t + eps)
    x_t = rho x_{t-1} + (1 - rho) |d_t|^2
    u_t = -lr_t d_t

Source: Zeiler 2012, arXiv:1212.5701, Algorithm 1.
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
    chain,
    fields,
    leafwise,
    lerp,
    second_moment,
)
from nablax.optimizers._arguments import checked, one_of
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class ScaleByAdaDeltaState(NamedTuple):
    """e_g, e_x: averages of |g|^2 and |d|^2; shapes of params, real, at least float32."""

    e_g: Any
    e_x: Any


def _adadelta(
    g: jax.Array, e_g: jax.Array, e_x: jax.Array, *, rho: Any, eps: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    e_g = lerp(e_g, abs_sq(g), rho)
    d = g * (jnp.sqrt(e_x + eps) / jnp.sqrt(e_g + eps))
    return d, e_g, lerp(e_x, abs_sq(d), rho)


@checked(counts=False)
def scale_by_adadelta(rho: float = 0.9, eps: float = 1e-6) -> GradientTransformation:
    """Adadelta's direction.

    Args:
      rho: decay of both averages, in [0, 1).
      eps: added inside both roots, not negative; it sets the size of the first steps.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `adadelta`.

    Source: Zeiler 2012, arXiv:1212.5701.
    """

    state = fields(ScaleByAdaDeltaState, e_g=second_moment(), e_x=second_moment())

    return leafwise(_adadelta, state, hyperparams={"rho": rho, "eps": eps})


@checked(counts=False)
def adadelta(
    learning_rate: ScalarOrSchedule | None = None,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn | None = None,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Adadelta: steps in the units of the parameters, without a learning rate to choose.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends. None is the paper's 1.
      rho, eps: as in `scale_by_adadelta`.
      weight_decay: added to the gradient, as L2 regularisation.
      weight_decay_mask, mask: leaves that decay; see `add_decayed_weights`. Two names of one argument.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; eps is that of the paper, section 4.1, which takes rho = 0.95.

    Source: Zeiler 2012, arXiv:1212.5701.
    """
    return chain(
        add_decayed_weights(weight_decay, one_of("adadelta", weight_decay_mask=weight_decay_mask, mask=mask)),
        scale_by_adadelta(rho, eps),
        scale_by_learning_rate(1.0 if learning_rate is None else learning_rate),
    )
