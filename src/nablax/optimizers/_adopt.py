"""ADOPT: Adam that converges for every b2, since the gradient is divided by the second moment before it.

    v_1 = |g_1|^2, no step;   then
    d_t = clip(g_t / max(sqrt(v_{t-1}), eps), +-c(t))
    m_t = b1 m_{t-1} + (1 - b1) d_t
    v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
    u_t = -lr_t m_t,   or  -lr_t (b1 m_t + (1 - b1) d_t)  with Nesterov's look ahead

c(t) = t^(1/4) for t updates before this one. Of complex entries both parts are clipped.

Source: Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from nablax.optimizers._adam import ScaleByAdamState
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


def _clip(x: jax.Array, bound: Any) -> jax.Array:
    if jnp.iscomplexobj(x):
        return jax.lax.complex(jnp.clip(x.real, -bound, bound), jnp.clip(x.imag, -bound, bound))
    return jnp.clip(x, -bound, bound)


def _adopt(
    g: jax.Array,
    mu: jax.Array,
    nu: jax.Array,
    *,
    b1: Any,
    b2: Any,
    eps: Any,
    nesterov: bool,
    bound: Any,
    first: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    direction = g / jnp.maximum(jnp.sqrt(nu), eps)
    if bound is not None:
        direction = _clip(direction, bound)
    direction = jnp.where(first, 0.0, direction)
    mu = lerp(mu, direction, b1)
    nu = jnp.where(first, abs_sq(g), lerp(nu, abs_sq(g), b2))
    return (lerp(mu, direction, b1) if nesterov else mu), mu, nu


def _bound(count: jax.Array, use_clipping: bool, clip_value_fn: Callable[[Any], Any]) -> dict[str, Any]:
    return {"first": count == 1, "bound": clip_value_fn(count - 1) if use_clipping else None}


def _fourth_root(step: jax.Array) -> jax.Array:
    return step**0.25


@checked()
def scale_by_adopt(
    b1: float = 0.9,
    b2: float = 0.9999,
    eps: float = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = _fourth_root,
) -> GradientTransformation:
    """ADOPT's direction; its state is Adam's.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps: least root, not negative.
      mu_dtype: dtype of the first moment; None follows each parameter's.
      nesterov: look one step ahead.
      use_clipping: bound the normalised gradients.
      clip_value_fn: their bound as a function of the updates so far.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `adopt`.

    Source: Taniguchi et al. 2024, arXiv:2411.02853.
    """

    state = fields(ScaleByAdamState, count=count(), mu=first_moment(mu_dtype), nu=second_moment())

    return leafwise(
        _adopt,
        state,
        hyperparams={"b1": b1, "b2": b2, "eps": eps},
        options={"nesterov": nesterov, "use_clipping": use_clipping, "clip_value_fn": clip_value_fn},
        scalars=_bound,
    )


@checked()
def adopt(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.9999,
    eps: float = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = _fourth_root,
) -> GradientTransformationExtraArgs:
    """ADOPT: Adam whose convergence does not depend on b2. The first update is zero.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, mu_dtype, nesterov, use_clipping, clip_value_fn: as in `scale_by_adopt`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b1, b2 and eps, and the clipping by the fourth root of the step, are those of the paper.

    Source: Taniguchi et al. 2024, arXiv:2411.02853.
    """
    return chain(
        scale_by_adopt(
            b1, b2, eps, mu_dtype, nesterov=nesterov, use_clipping=use_clipping, clip_value_fn=clip_value_fn
        ),
        scale_by_learning_rate(learning_rate),
    )
