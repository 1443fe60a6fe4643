"""NovoGrad: one second moment a leaf.

    v_t = b2 v_{t-1} + (1 - b2) |g_t|^2,   v_1 = |g_1|^2         the norm of the whole leaf
    m_t = b1 m_{t-1} + g_t / (sqrt(v_t + eps_root) + eps) + weight_decay p_t
    u_t = -lr_t m_t

Source: Ginsburg et al. 2019, arXiv:1905.11286, Algorithm 1.
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
    count,
    fields,
    filled_like,
    first_moment,
    leafwise,
    lerp,
    real_dtype,
    statistic,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


class ScaleByNovogradState(NamedTuple):
    """count: updates so far, int32. mu: m_t, like params or in mu_dtype. nu: v_t, a real scalar a leaf."""

    count: jax.Array  # type: ignore[assignment]
    mu: Any
    nu: Any


def _novograd(
    g: jax.Array, params: jax.Array, mu: jax.Array, nu: jax.Array, *,
    b1: Any, b2: Any, eps: Any, eps_root: Any, weight_decay: Any, first: Any, decays: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    square = jnp.sum(abs_sq(g))
    nu = jnp.where(first, square, lerp(nu, square, b2))
    normalized = g / (jnp.sqrt(nu + eps_root) + eps)
    mu = b1 * mu + (normalized + weight_decay * params if decays else normalized)
    return mu, mu, nu


def _first(count: jax.Array) -> dict[str, Any]:
    return {"first": count == 1}


@checked()
def scale_by_novograd(
    b1: float = 0.9,
    b2: float = 0.25,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mu_dtype: Any = None,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformation:
    """NovoGrad's direction.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps, eps_root: added to the root and inside it, not negative.
      weight_decay: added to the normalised gradient.
      mu_dtype: dtype of the first moment; None follows each parameter's.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax.

    Source: Ginsburg et al. 2019, arXiv:1905.11286.
    """

    state = fields(
        ScaleByNovogradState,
        count=count(),
        mu=first_moment(mu_dtype),
        nu=statistic(lambda p: filled_like(p, 0, real_dtype(p), range(jnp.ndim(p))), signed=False),
    )

    return leafwise(
        _novograd,
        state,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay},
        scalars=_first,
        flags={"decays": mask},
    )


@checked()
def novograd(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.25,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """NovoGrad: momentum over gradients normalised layer by layer, at half of Adam's memory.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, weight_decay, mask: as in `scale_by_novograd`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax.

    Source: Ginsburg et al. 2019, arXiv:1905.11286.
    """
    return chain(
        scale_by_novograd(b1, b2, eps, eps_root, weight_decay, mask=mask),
        scale_by_learning_rate(learning_rate),
    )
