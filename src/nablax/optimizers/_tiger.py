"""Tiger: step along the sign of the momentum, which is all that it keeps.

    m_t = beta m_{t-1} + (1 - beta) g_t
    u_t = -lr_t (sign(m_t) + weight_decay p_t)

It is Lion with one decay, and Signum with decoupled weight decay. The author's code also scales the rate of each leaf,
of matrices by their root mean square; here that is a link of its own, `scale_by_param_block_rms`.

Source: Su 2023, "Tiger: A Tight-fisted Optimizer", https://kexue.fm/archives/9512, https://github.com/bojone/tiger.
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
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class ScaleByTigerState(NamedTuple):
    """count: updates so far, int32. mu: m_t; structure and shapes of params, their dtypes or mu_dtype."""

    count: Any
    mu: Any


def _tiger(g: jax.Array, mu: jax.Array, *, beta: Any) -> tuple[jax.Array, jax.Array]:
    mu = lerp(mu, g, beta)
    return jnp.sign(mu), mu


@checked()
def scale_by_tiger(beta: float = 0.965, mu_dtype: Any = None) -> GradientTransformation:
    """Tiger's direction: the sign of the momentum; of a complex entry, z / |z|.

    Args:
      beta: decay of the momentum, in [0, 1); a number or a schedule of the updates so far.
      mu_dtype: dtype of the momentum; None follows each parameter's.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `tiger`.

    Source: Su 2023, https://kexue.fm/archives/9512.
    """
    state = fields(ScaleByTigerState, count=count(), mu=first_moment(mu_dtype))
    return leafwise(_tiger, state, hyperparams={"beta": beta})


@checked()
def tiger(
    learning_rate: ScalarOrSchedule,
    beta: float = 0.965,
    weight_decay: ScalarOrSchedule = 0.01,
    mask: MaskOrFn | None = None,
    *,
    mu_dtype: Any = None,
) -> GradientTransformationExtraArgs:
    """Tiger: one momentum and its sign, the least memory a method with momentum can do with.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      beta, mu_dtype: as in `scale_by_tiger`.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: beta = 0.965 and weight_decay = 0.01 are those of the source.

    Source: Su 2023, https://kexue.fm/archives/9512.
    """
    return chain(
        scale_by_tiger(beta, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
