"""AdaBelief: Adam over the variance of the gradient around its mean, instead of its second moment.

    m_t = b1 m_{t-1} + (1 - b1) g_t
    s_t = b2 s_{t-1} + (1 - b2) |g_t - m_t|^2 + eps_root
    u_t = -lr_t m^_t / (sqrt(s^_t) + eps),   m^_t = m_t / (1 - b1^t),   s^_t = s_t / (1 - b2^t)

With Nesterov's look ahead  m^_t = b1 m_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t).

Source: Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2.
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
    leafwise,
    lerp,
    moment_like,
    wide_moment_like,
    zero_count,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


class ScaleByBeliefState(NamedTuple):
    """count: updates so far, int32. mu: m_t, like params. nu: s_t, real, at least float32."""

    count: jax.Array  # type: ignore[assignment]
    mu: Any
    nu: Any


def _belief(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, b1: Any, b2: Any, eps: Any, eps_root: Any,
    c1: Any, c1_next: Any, c2: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    mu = lerp(mu, g, b1)
    nu = lerp(nu, abs_sq(g - mu), b2) + eps_root
    mu_hat = mu / c1 if c1_next is None else b1 * (mu / c1_next) + (1 - b1) * (g / c1)
    return mu_hat / (jnp.sqrt(nu / c2) + eps), mu, nu


def _corrections(count: jax.Array, b1: Any, b2: Any, nesterov: bool) -> dict[str, Any]:
    return {"c1": 1 - b1**count, "c1_next": 1 - b1 ** (count + 1) if nesterov else None, "c2": 1 - b2**count}


def belief_init(params: Any) -> ScaleByBeliefState:
    """Both moments at zero."""
    return ScaleByBeliefState(zero_count(), moment_like(params), wide_moment_like(params, real=True))


@checked()
def scale_by_belief(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16, eps_root: float = 1e-16, *, nesterov: bool = False
) -> GradientTransformation:
    """AdaBelief's direction.

    Args:
      b1, b2: decays of the mean and of the variance, in [0, 1).
      eps: added to the root, not negative.
      eps_root: added to the variance at every update, not negative.
      nesterov: look one step ahead.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `adabelief`.

    Source: Zhuang et al. 2020, arXiv:2010.07468.
    """
    return leafwise(
        _belief,
        belief_init,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root},
        options={"nesterov": nesterov},
        scalars=_corrections,
    )


@checked()
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """AdaBelief: large steps where gradients agree with their mean, small ones where they scatter.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, nesterov: as in `scale_by_belief`. The paper has eps=1e-8 and eps_root=0.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; eps = 1e-16 is that of the authors' implementation, b1 and b2 are Adam's.

    Source: Zhuang et al. 2020, arXiv:2010.07468.
    """
    return chain(
        scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov), scale_by_learning_rate(learning_rate)
    )
