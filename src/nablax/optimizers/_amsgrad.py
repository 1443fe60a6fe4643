"""AMSGrad: Adam over the largest second moment seen.

    m_t = b1 m_{t-1} + (1 - b1) g_t,   v_t = b2 v_{t-1} + (1 - b2) |g_t|^2,   w_t = max(w_{t-1}, v^_t)
    u_t = -lr_t m^_t / (sqrt(w_t + eps_root) + eps)

Source: Reddi et al. 2018, arXiv:1904.09237, Algorithm 2, with Adam's bias corrections.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


class ScaleByAmsgradState(NamedTuple):
    """count: updates so far, int32. mu: m_t. nu: v_t. nu_max: w_t; the last two real, at least float32."""

    count: Any
    mu: Any
    nu: Any
    nu_max: Any


def _amsgrad(
    g: jax.Array, mu: jax.Array, nu: jax.Array, nu_max: jax.Array, *, b1: Any, b2: Any, eps: Any, eps_root: Any,
    c1: Any, c2: Any,
) -> tuple[jax.Array, ...]:  # fmt: skip
    mu = lerp(mu, g, b1)
    nu = lerp(nu, abs_sq(g), b2)
    nu_max = jnp.maximum(nu_max, nu / c2)
    return (mu / c1) / (jnp.sqrt(nu_max + eps_root) + eps), mu, nu, nu_max


def _corrections(
    count: jax.Array, b1: Any, b2: Any, bias_correction_mu: bool, bias_correction_nu: bool
) -> dict[str, Any]:
    return {
        "c1": 1 - b1**count if bias_correction_mu else 1.0,
        "c2": 1 - b2**count if bias_correction_nu else 1.0,
    }


@checked()
def scale_by_amsgrad(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
) -> GradientTransformation:
    """AMSGrad's direction.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps: added to the root, not negative.
      eps_root: added inside the root, not negative.
      mu_dtype: dtype of the first moment; None follows each parameter's.
      bias_correction_mu, bias_correction_nu: divide the moments by 1 - b^t.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `amsgrad`.

    Source: Reddi et al. 2018, arXiv:1904.09237.
    """

    state = fields(
        ScaleByAmsgradState,
        count=count(),
        mu=first_moment(mu_dtype),
        nu=second_moment(),
        nu_max=second_moment(),
    )

    return leafwise(
        _amsgrad,
        state,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root},
        options={"bias_correction_mu": bias_correction_mu, "bias_correction_nu": bias_correction_nu},
        scalars=_corrections,
    )


@checked()
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
) -> GradientTransformationExtraArgs:
    """Adam whose step sizes never grow again: it converges where Adam can cycle.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu: as in `scale_by_amsgrad`.

    Defaults: as in Optax; b1, b2 and eps are Adam's.

    Source: Reddi et al. 2018, arXiv:1904.09237.
    """
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu),
        scale_by_learning_rate(learning_rate),
    )
