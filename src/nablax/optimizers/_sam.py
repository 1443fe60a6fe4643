"""Sharpness-aware minimization: the gradient is taken where the loss is worst nearby.

    q = p;   sync_period - 1 times:  q <- q - adversary's update at q        (an ascent)
    p <- p + the optimizer's update for the gradient at q

Source: Foret et al. 2021, arXiv:2010.01412, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    ArgumentError,
    Field,
    GradientTransformationExtraArgs,
    as_array,
    count,
    fields,
    inner_state,
    point,
    require_params,
    with_extra_args_support,
    wrapper,
)
from nablax.optimizers._arguments import checked


class SAMState(NamedTuple):
    """steps_since_sync: adversarial steps since the last outer one, int32. opt_state, adv_state.

    cache: the parameters before the adversarial steps; None in opaque mode.
    """

    steps_since_sync: jax.Array
    opt_state: Any
    adv_state: Any
    cache: Any


@checked()
def sam(
    optimizer: Any,
    adv_optimizer: Any,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: str | None = None,
) -> GradientTransformationExtraArgs:
    """Steps with the gradient of an adversarial neighbour.

    `sam(sgd(0.01), chain(normalize(), sgd(rho)))` is the algorithm of the paper. Transparent, every update is one
    step: sync_period - 1 away from the parameters, then back and on. Opaque, all happens in one update, which is
    called with `grad_fn=`, a function of (params, i) that returns the gradient of the i-th adversarial step.

    Args:
      optimizer: the outer optimizer; it sees the true parameters.
      adv_optimizer: the adversary; its steps are taken uphill.
      sync_period: outer steps are every sync_period-th, at least 1.
      reset_state: begin every adversarial phase with a fresh adversary.
      opaque_mode: do all steps in one update.
      batch_axis_name: axis over which to average gradients within opaque mode.

    Raises:
      HyperparameterError: sync_period < 1.
      ArgumentError: opaque mode without grad_fn.
      MissingParamsError: `update` without params.

    Defaults: as in Optax: one adversarial step, then one of the optimizer, as in the paper.

    Source: Foret et al. 2021, arXiv:2010.01412.
    """
    outer, adversary = with_extra_args_support(optimizer), with_extra_args_support(adv_optimizer)

    init = fields(
        SAMState,
        steps_since_sync=count(),
        opt_state=inner_state(outer),
        adv_state=inner_state(adversary),
        cache=Field("snapshot", lambda params: None) if opaque_mode else point(copy=True),
    )

    def ascend(updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        updates, state = adversary.update(updates, state, params, **extra)
        return jax.tree.map(jnp.negative, updates), state

    def transparent(updates: Any, state: SAMState, params: Any = None, **extra: Any) -> tuple[Any, SAMState]:
        require_params("sam", params)
        first, last = state.steps_since_sync == 0, state.steps_since_sync == as_array(sync_period) - 1
        cache = jax.tree.map(lambda p, c: jnp.where(first, p, c), params, state.cache)

        def adversarial_step(_: None) -> tuple[Any, SAMState]:
            u, adv_state = ascend(updates, state.adv_state, params, extra)
            return u, SAMState(state.steps_since_sync + 1, state.opt_state, adv_state, cache)

        def outer_step(_: None) -> tuple[Any, SAMState]:
            u, opt_state = outer.update(updates, state.opt_state, cache, **extra)
            u = jax.tree.map(lambda c, p, x: ((c - p) + x).astype(x.dtype), cache, params, u)
            adv_state = adversary.init(cache) if reset_state else state.adv_state
            return u, SAMState(jnp.zeros((), jnp.int32), opt_state, adv_state, cache)

        return jax.lax.cond(last, outer_step, adversarial_step, None)

    def opaque(
        updates: Any,
        state: SAMState,
        params: Any = None,
        *,
        grad_fn: Callable[..., Any] | None = None,
        **extra: Any,
    ) -> tuple[Any, SAMState]:
        require_params("sam", params)
        if grad_fn is None:
            raise ArgumentError(
                "sam in opaque mode needs grad_fn. Call update(gradients, state, params, grad_fn=f)."
            )

        def step(i: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            gradients, point, adv_state = carry
            u, adv_state = ascend(gradients, adv_state, point, extra)
            point = jax.tree.map(lambda q, x: (q + x).astype(q.dtype), point, u)
            gradients = grad_fn(point, i)
            if batch_axis_name is not None:
                gradients = jax.lax.pmean(gradients, batch_axis_name)
            return gradients, point, adv_state

        adv_state = adversary.init(params) if reset_state else state.adv_state
        carry = updates, params, adv_state
        gradients, _, adv_state = jax.lax.fori_loop(0, as_array(sync_period - 1), step, carry)
        updates, opt_state = outer.update(gradients, state.opt_state, params, **extra)
        return updates, SAMState(state.steps_since_sync, opt_state, adv_state, None)

    return wrapper(
        init,
        opaque if opaque_mode else transparent,
        {"optimizer": outer, "adv_optimizer": adversary},
        {"optimizer": ("opt_state",), "adv_optimizer": ("adv_state",)},
    )
