"""Lion: step along the sign of an interpolated momentum.

    d_t = sign(b1 m_{t-1} + (1 - b1) g_t)        direction
    m_t = b2 m_{t-1} + (1 - b2) g_t              memory
    u_t = -lr_t (d_t + weight_decay p_t)         update

For b2 > 0 the direction is read from the new momentum: b1 m_{t-1} + (1 - b1) g_t = r m_t + (1 - r) g_t, r = b1 / b2.
A compiled step that reads the old momentum after overwriting it has to copy it first.

Source: Chen et al. 2023, arXiv:2302.06675, Algorithm 2.
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
    chain,
    choice,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights, scale_by_learning_rate

_MODES = ("hard", "smooth", "refined")


class ScaleByLionState(NamedTuple):
    """count: updates so far, int32. mu: m_t; structure and shapes of params, their dtypes or mu_dtype."""

    count: Any
    mu: Any


def _lion(
    g: jax.Array, mu: jax.Array, *, b1: Any, b2: Any, ratio: Any, smooth_beta: Any, mode: str
) -> tuple[jax.Array, jax.Array]:
    new_mu = lerp(mu, g, b2)
    c = lerp(mu, g, b1) if ratio is None else lerp(new_mu, g, ratio)
    if mode == "smooth":
        direction = jnp.tanh(smooth_beta * c)
    elif mode == "refined":
        direction = c / jnp.maximum(jnp.abs(c), 1.0)
    else:
        direction = jnp.sign(c)
    return direction, new_mu


def _ratio(b1: Any, b2: Any, forgets: bool) -> dict[str, Any]:
    return {"ratio": None if forgets else b1 / b2}


@checked(mode=choice(*_MODES))
def scale_by_lion(
    b1: float = 0.9, b2: float = 0.99, mu_dtype: Any = None, *, mode: str = "hard", smooth_beta: float = 1.0
) -> GradientTransformation:
    """Lion's direction.

    Args:
      b1: weight of the momentum in the direction, in [0, 1).
      b2: decay of the momentum, in [0, 1).
      mu_dtype: dtype of the momentum; None follows each parameter's.
      mode: "hard" takes the sign, "smooth" tanh(smooth_beta c), "refined" c where |c| < 1 and its sign beyond.
      smooth_beta: steepness of the smooth mode, positive.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: an unknown mode.

    Defaults: as in `lion`.

    Source: Chen et al. 2023, arXiv:2302.06675, Algorithm 2.
    """

    state = fields(ScaleByLionState, count=count(), mu=first_moment(mu_dtype))

    return leafwise(
        _lion,
        state,
        hyperparams={"b1": b1, "b2": b2, "smooth_beta": smooth_beta},
        options={"mode": mode, "forgets": not isinstance(b2, jax.core.Tracer) and b2 == 0},
        scalars=_ratio,
    )


@checked()
def lion(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.99,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Lion: one momentum, steps of plus or minus the learning rate. Use 3 to 10 times less than with AdamW.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, mu_dtype: as in `scale_by_lion`.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1 and b2 are those of the paper, Algorithm 2.

    Source: Chen et al. 2023, arXiv:2302.06675.
    """
    return chain(
        scale_by_lion(b1, b2, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
