"""AdEMAMix: Adam with a second, much slower average of gradients; and its form with a single one.

    m_t = b1 m_{t-1} + (1 - b1) g_t          fast
    w_t = b3 w_{t-1} + (1 - b3) g_t          slow
    v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
    u_t = -lr_t ((m^_t + alpha_t w_t) / (sqrt(v^_t + eps_root) + eps) + weight_decay p_t)

    simplified:  m_t = b1 m_{t-1} + g_t,  and  m_t + alpha_t g_t  in the place of  m^_t + alpha_t w_t

Sources: Pagliardini et al. 2024, arXiv:2409.03137, Algorithm 1; Morwani et al. 2025, arXiv:2502.02431.
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
    first_moment,
    leafwise,
    lerp,
    safe_increment,
    second_moment,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class ScaleByAdemamixState(NamedTuple):
    """count, count_m2: updates so far, int32. m1, m2: fast and slow averages. nu: real, at least float32.

    The slow average is held in at least float32: a step of 1 - b3 = 1e-4 is lost in bfloat16.
    """

    count: jax.Array  # type: ignore[assignment]
    count_m2: jax.Array
    m1: Any
    m2: Any
    nu: Any


class ScaleBySimplifiedAdEMAMixState(NamedTuple):
    """t: updates so far, int32. m: sum of gradients with decay, at least float32. n: real, at least float32."""

    t: jax.Array
    m: Any
    n: Any


def _ademamix(
    g: jax.Array, m1: jax.Array, m2: jax.Array, nu: jax.Array, *,
    b1: Any, b2: Any, b3: Any, alpha: Any, eps: Any, eps_root: Any, c1: Any, c2: Any,
) -> tuple[jax.Array, ...]:  # fmt: skip
    m1, m2, nu = lerp(m1, g, b1), lerp(m2, g, b3), lerp(nu, abs_sq(g), b2)
    return (m1 / c1 + alpha * m2) / (jnp.sqrt(nu / c2 + eps_root) + eps), m1, m2, nu


def _corrections(count: jax.Array, count_m2: jax.Array, b1: Any, b2: Any) -> dict[str, Any]:
    return {"count_m2": safe_increment(count_m2), "c1": 1 - b1**count, "c2": 1 - b2**count}


@checked()
def scale_by_ademamix(
    b1: float = 0.9,
    b2: float = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 6.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
) -> GradientTransformation:
    """AdEMAMix's direction.

    Args:
      b1, b2: decays of the fast average and of the squares, in [0, 1).
      b3: decay of the slow average, in [0, 1); a number or a schedule of the updates so far.
      alpha: weight of the slow average, not negative; a number or a schedule.
      eps, eps_root: added to the root and inside it, not negative.
      mu_dtype: dtype of both averages; None follows each parameter's for the fast one, at least float32 for the slow.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b1, b2 and b3 are those of the paper's experiments.

    Source: Pagliardini et al. 2024, arXiv:2409.03137.
    """

    state = fields(
        ScaleByAdemamixState,
        count=count(),
        count_m2=count(),
        m1=first_moment(mu_dtype),
        m2=accumulator() if mu_dtype is None else first_moment(mu_dtype),
        nu=second_moment(),
    )
    return leafwise(
        _ademamix,
        state,
        hyperparams={"b1": b1, "b2": b2, "b3": b3, "alpha": alpha, "eps": eps, "eps_root": eps_root},
        scalars=_corrections,
    )


@checked()
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """AdEMAMix: AdamW that also remembers gradients of ten thousand steps ago.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, b3, alpha, eps, eps_root, mu_dtype: as in `scale_by_ademamix`. The paper warms b3 and alpha up.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1, b2 and b3 are those of the paper's experiments.

    Source: Pagliardini et al. 2024, arXiv:2409.03137, Algorithm 1.
    """
    return chain(
        scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def _simplified(
    g: jax.Array,
    m: jax.Array,
    n: jax.Array,
    *,
    b1: Any,
    b2: Any,
    alpha: Any,
    eps: Any,
    eps_root: Any,
    c2: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    m, n = b1 * m + g, lerp(n, abs_sq(g), b2)
    return (m + alpha * g) / (jnp.sqrt(n / c2 + eps_root) + eps), m, n


def _simplified_scalars(
    t: jax.Array, b2: Any, alpha: Any = None, alpha_schedule: Any = None
) -> dict[str, Any]:
    now = safe_increment(t)
    if alpha_schedule is not None:
        alpha = alpha_schedule(t)
    return {"t": now, "c2": 1 - b2**now, "alpha": alpha}


@checked(counts=False)
def scale_by_simplified_ademamix(
    b1: float = 0.99,
    b2: float = 0.95,
    alpha: ScalarOrSchedule = 0.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> GradientTransformation:
    """Simplified AdEMAMix's direction: a sum of gradients with decay, and the last one once more.

    Args:
      b1, b2: decays, in [0, 1).
      alpha: weight of the last gradient, not negative; a number or a schedule of the updates so far.
      eps, eps_root: added to the root and inside it, not negative.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `simplified_ademamix`.

    Source: Morwani et al. 2025, arXiv:2502.02431.
    """

    state = fields(ScaleBySimplifiedAdEMAMixState, t=count(), m=accumulator(), n=second_moment())

    # The state calls its count t, so a schedule is evaluated among the scalars.
    scheduled = callable(alpha)
    return leafwise(
        _simplified,
        state,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
        | ({} if scheduled else {"alpha": alpha}),
        options={"alpha_schedule": alpha} if scheduled else {},
        scalars=_simplified_scalars,
    )


@checked(counts=False)
def simplified_ademamix(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.99,
    b2: float = 0.95,
    alpha: ScalarOrSchedule = 0.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Simplified AdEMAMix: one momentum, no schedule of its mixture.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends. Momentum is a sum:
        use 1 - b1 times Adam's.
      b1, b2, alpha, eps, eps_root: as in `scale_by_simplified_ademamix`.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax.

    Source: Morwani et al. 2025, arXiv:2502.02431.
    """
    return chain(
        scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
