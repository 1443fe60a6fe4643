"""Adan: Adam with Nesterov's momentum in terms of gradient differences.

    d_t = g_t - g_{t-1}   (d_1 = 0)
    m_t = b1 m_{t-1} + (1 - b1) g_t
    v_t = b2 v_{t-1} + (1 - b2) d_t
    n_t = b3 n_{t-1} + (1 - b3) |g_t + (1 - b2) d_t|^2
    u_t = -lr_t ((m^_t + (1 - b2) v^_t) / (sqrt(n^_t + eps_root) + eps) + weight_decay p_t)

Hats divide by 1 - b^t. The averages' decays are one minus those of the paper's Algorithm 1; the weight of the
difference is 1 - b2 all the same, as in Optax, where the authors' own code has b2.

Source: Xie et al. 2022, arXiv:2208.06677.
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
    first_moment,
    leafwise,
    lerp,
    safe_increment,
    second_moment,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class ScaleByAdanState(NamedTuple):
    """m, v: averages of g and of its differences, like params. n: real, at least float32. g: g_t. t: int32 count."""

    m: Any
    v: Any
    n: Any
    g: Any
    t: jax.Array


def _adan(
    u: jax.Array, m: jax.Array, v: jax.Array, n: jax.Array, g: jax.Array, *,
    b1: Any, b2: Any, b3: Any, eps: Any, eps_root: Any, c1: Any, c2: Any, c3: Any, first: Any,
) -> tuple[jax.Array, ...]:  # fmt: skip
    difference = jnp.where(first, 0.0, u - g)
    m = lerp(m, u, b1)
    v = lerp(v, difference, b2)
    n = lerp(n, abs_sq(u + (1 - b2) * difference), b3)
    direction = (m / c1 + (1 - b2) * (v / c2)) / (jnp.sqrt(n / c3 + eps_root) + eps)
    return direction, m, v, n, u


def _corrections(t: jax.Array, b1: Any, b2: Any, b3: Any) -> dict[str, Any]:
    t = safe_increment(t)
    return {"t": t, "c1": 1 - b1**t, "c2": 1 - b2**t, "c3": 1 - b3**t, "first": t == 1}


@checked(counts=False)
def scale_by_adan(
    b1: float = 0.98, b2: float = 0.92, b3: float = 0.99, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """Adan's direction.

    Args:
      b1, b2, b3: decays of the averages of gradients, of their differences and of squares, in [0, 1).
      eps, eps_root: added to the root and inside it, not negative.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b1, b2 and b3 as in `adan`.

    Source: Xie et al. 2022, arXiv:2208.06677.
    """

    state = fields(
        ScaleByAdanState, m=first_moment(), v=first_moment(), n=second_moment(), g=first_moment(), t=count()
    )

    return leafwise(
        _adan,
        state,
        hyperparams={"b1": b1, "b2": b2, "b3": b3, "eps": eps, "eps_root": eps_root},
        scalars=_corrections,
    )


@checked(counts=False)
def adan(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.98,
    b2: float = 0.92,
    b3: float = 0.99,
    eps: float = 1e-8,
    eps_root: float = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Adan: Nesterov's acceleration without a gradient at the extrapolated point.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, b3, eps, eps_root: as in `scale_by_adan`.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1, b2 and b3 are those of the paper, which writes 1 - b for b (0.02, 0.08, 0.01).

    Source: Xie et al. 2022, arXiv:2208.06677.
    """
    return chain(
        scale_by_adan(b1, b2, b3, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
