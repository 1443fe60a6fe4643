"""Mechanic: learns the scale of the updates of any optimizer. Written for one decay b; there are several.

    D_t = (p_t - p_0) / (S_t + eps),   S_t = sum of all s_t                  the base optimizer's updates, added up
    h_t = -<D_t, g_t + weight_decay S_t (|g_t| / |p_t|) p_t>                 what a larger scale would have won
    m_t = max(b m_{t-1}, |h_t| + eps),   v_t = b^2 v_{t-1} + h_t^2
    r_t = b r_{t-1} + s_{t-1} clip(h_t, -m_{t-1}, m_{t-1})
    s_t = (s_init / n m_t + max(r_t, 0)) / (sqrt(v_t) + eps)
    p_{t+1} = p_0 + S_t (D_t + u_t)                                          u_t: the base update

Source: Cutkosky et al. 2023, arXiv:2306.00144, Algorithm 1, with the weight decay of its section 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    Field,
    GradientTransformationExtraArgs,
    abs_sq,
    as_array,
    count,
    fields,
    inner_state,
    leafwise,
    number,
    require_params,
    safe_increment,
    scalar,
    snapshot,
    with_extra_args_support,
    wrapper,
)
from nablax.optimizers._arguments import checked
from nablax.optimizers._sums import inner, leaf_sums


class MechanicState(NamedTuple):
    """base_optimizer_state. count: updates so far, int32. r, m, v, s: real vectors, one number a decay.

    x0: p_0, at least float32.
    """

    base_optimizer_state: Any
    count: jax.Array  # type: ignore[assignment]
    r: jax.Array
    m: jax.Array
    v: jax.Array
    s: jax.Array
    x0: Any


def _terms(g: Any, p: Any, x0: Any) -> dict[str, Any]:
    moved = p - x0
    return {
        "gain": inner(moved, g),
        "drift": inner(moved, p),
        "gradient": abs_sq(g),
        "parameters": abs_sq(p),
    }


class _Start(NamedTuple):
    x0: Any


def _tuned(
    u: jax.Array, params: jax.Array, x0: jax.Array, *, scale: Any, shrink: Any
) -> tuple[jax.Array, jax.Array]:
    return scale * u + shrink * (params - x0), x0


@checked(eps=number(0, open_low=True), weight_decay=number(0))
def mechanize(
    base_optimizer: Any,
    weight_decay: float = 1e-2,
    eps: float = 1e-8,
    s_init: float = 1e-6,
    num_betas: int = 6,
) -> GradientTransformationExtraArgs:
    """Learns the learning rate of an optimizer, up to a schedule of its own.

    Args:
      base_optimizer: the optimizer, with learning rate 1 or a schedule that peaks at 1.
      weight_decay: strength of Mechanic's regulariser, not negative; not a decay of the weights.
      eps: added to denominators, positive.
      s_init: first scale, positive.
      num_betas: number of decays, 1 - 10^-k for k = 1, ..., num_betas.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; weight_decay (the paper's lambda) and the six decays are those of the paper.

    Source: Cutkosky et al. 2023, arXiv:2306.00144.
    """
    base = with_extra_args_support(base_optimizer)
    tune = leafwise(_tuned, fields(_Start, x0=snapshot()), name="mechanize", extra=("scale", "shrink"))

    def numbers(value: Any) -> Field:
        return scalar(lambda params: jnp.full(num_betas, as_array(value)))

    init = fields(
        MechanicState,
        base_optimizer_state=inner_state(base),
        count=count(),
        r=numbers(0.0),
        m=numbers(0.0),
        v=numbers(0.0),
        s=numbers(s_init),
        x0=snapshot(),
    )

    def update(
        updates: Any, state: MechanicState, params: Any = None, **extra: Any
    ) -> tuple[Any, MechanicState]:
        require_params("mechanize", params)
        base_updates, base_state = base.update(updates, state.base_optimizer_state, params, **extra)
        sums = leaf_sums(_terms, updates, params, state.x0)
        r, m, v, s, old, new = _learn(sums, state, *map(as_array, (weight_decay, eps, s_init)))
        shrink = new / (old + as_array(eps)) - 1
        tuned, _ = tune.update(base_updates, _Start(state.x0), params, scale=new, shrink=shrink)
        steps = safe_increment(state.count)
        return tuned, MechanicState(base_state, steps, r, m, v, s, state.x0)

    return wrapper(init, update, {"base_optimizer": base}, {"base_optimizer": ("base_optimizer_state",)})


@jax.jit
def _learn(
    sums: dict[str, Any], state: MechanicState, weight_decay: Any, eps: Any, s_init: Any
) -> tuple[jax.Array, ...]:
    n = state.s.shape[0]
    betas = jnp.asarray([1 - 10.0**-k for k in range(1, n + 1)], state.s.dtype)
    old = jnp.sum(state.s)
    size = jnp.sqrt(sums["parameters"])
    relative = jnp.where(size > 0, jnp.sqrt(sums["gradient"]) / jnp.where(size > 0, size, 1.0), 0.0)
    h = -(sums["gain"] + weight_decay * old * relative * sums["drift"]) / (old + eps)
    m = jnp.maximum(betas * state.m, jnp.abs(h) + eps)
    v = jnp.square(betas) * state.v + jnp.square(h)
    r = betas * state.r + state.s * jnp.clip(h, -state.m, state.m)
    s = (s_init / n * m + jnp.maximum(r, 0.0)) / (jnp.sqrt(v) + eps)
    return r, m, v, s, old, jnp.sum(s)
