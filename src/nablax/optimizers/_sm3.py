"""SM3: Adagrad with one accumulator a row, a column, ..., instead of one a parameter.

    n_t(i) = b2 min over axes a of mu_{t-1}^a(i_a) + (1 - b2, or 1 for b2 = 1) |g_t(i)|^2
    mu_t^a(j) = max of n_t over all i with i_a = j
    m_t = b1 m_{t-1} + (1 - b1) g_t / sqrt(n_t + eps)        0 where n_t is 0
    u_t = -lr_t m_t

Source: Anil et al. 2019, arXiv:1901.11150, Algorithm SM3-II.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    abs_sq,
    chain,
    fields,
    filled_like,
    first_moment,
    leafwise,
    lerp,
    number,
    real_dtype,
    statistic,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


class ScaleBySM3State(NamedTuple):
    """mu: a list of accumulators a leaf, one vector an axis (one number for a scalar), real, at least float32.

    nu: the momentum m_t, like params.
    """

    mu: Any
    nu: Any


def _sm3(
    g: jax.Array, mu: list[jax.Array], nu: jax.Array, *, b1: Any, b2: Any, eps: Any, weight: Any
) -> tuple[jax.Array, list[jax.Array], jax.Array]:
    axes = set(range(g.ndim))
    spread = [jnp.expand_dims(m, sorted(axes - {a})) if g.ndim else m for a, m in enumerate(mu)]
    total = b2 * functools.reduce(jnp.minimum, spread) + weight * abs_sq(g)
    direction = jnp.where(total > 0, g * jax.lax.rsqrt(jnp.where(total > 0, total, 1.0) + eps), 0.0)
    nu = lerp(nu, direction, b1)
    mu = [jnp.max(total, sorted(axes - {a}), initial=0.0) if g.ndim else total for a in range(len(mu))]
    return nu, mu, nu


def _weight(b2: Any) -> dict[str, Any]:
    return {"weight": jnp.where(jnp.equal(b2, 1.0), 1.0, 1.0 - b2)}


def _accumulators(p: Any) -> list[jax.Array]:
    axes, dtype = set(range(jnp.ndim(p))), real_dtype(p)
    return [filled_like(p, 0, dtype, sorted(axes - {a})) for a in axes] or [filled_like(p, 0, dtype)]


@checked(counts=False, b2=number(0, 1))
def scale_by_sm3(b1: float = 0.9, b2: float = 1.0, eps: float = 1e-8) -> GradientTransformation:
    """SM3's direction.

    Args:
      b1: decay of the momentum, in [0, 1).
      b2: decay of the accumulators, in [0, 1]; 1 adds up all squares, as in the paper.
      eps: added inside the root, not negative.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b2 = 1 is the method of the paper, which sums.

    Source: Anil et al. 2019, arXiv:1901.11150.
    """

    state = fields(ScaleBySM3State, mu=statistic(_accumulators, signed=False), nu=first_moment())
    return leafwise(_sm3, state, hyperparams={"b1": b1, "b2": b2, "eps": eps}, scalars=_weight)


@checked(momentum=number(0, 1, open_high=True))
def sm3(learning_rate: ScalarOrSchedule, momentum: float = 0.9) -> GradientTransformationExtraArgs:
    """SM3: Adagrad's adaptivity at the memory of momentum alone.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      momentum: decay of the momentum, in [0, 1).

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; momentum = 0.9 is that of the authors' implementation.

    Source: Anil et al. 2019, arXiv:1901.11150.
    """
    return chain(scale_by_sm3(momentum), scale_by_learning_rate(learning_rate))
