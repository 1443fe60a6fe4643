"""Lookahead: fast steps, and slow parameters that follow them part of the way.

    fast <- fast + u_t                                        every step
    slow <- slow + slow_step_size (fast - slow),  fast <- slow   every sync_period steps

Source: Zhang et al. 2019, arXiv:1907.08610.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    COUNT,
    FLAG,
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    Params,
    Program,
    Updates,
    apply_updates,
    as_array,
    checked,
    map_leaves,
    number,
    with_extra_args_support,
    wrapper,
    zero_count,
)
from nablax.transforms._branch import branch


class LookaheadParams(NamedTuple):
    """The two sets of parameters: take gradients at `fast`, evaluate and keep `slow`.

    Attributes:
      fast: where gradients are taken.
      slow: what a model is evaluated and saved with; the structure, shapes and dtypes of fast.
    """

    fast: Params
    slow: Params

    @classmethod
    def init_synced(cls, params: Params) -> LookaheadParams:
        """Both sets equal to params."""
        return cls(fast=params, slow=params)


class LookaheadState(NamedTuple):
    """fast_state: of the fast optimizer. steps_since_sync: fast steps since the sets were equal, int32 scalar."""

    fast_state: Any
    steps_since_sync: Any


def _updates(row: Any, shared: Any) -> tuple[jax.Array, jax.Array]:
    """The updates of one leaf, of its fast and of its slow parameters."""
    u, fast, slow = row
    sync, step_size = shared
    wide = tree.at_least_float32(jnp.result_type(fast, u))
    reached = fast.astype(wide) + u.astype(wide)
    change = jnp.asarray(step_size, wide) * (reached - slow.astype(wide))
    slow_update = jnp.where(sync, change, 0)
    fast_update = jnp.where(sync, slow.astype(wide) + change - fast.astype(wide), u)
    return fast_update.astype(u.dtype), slow_update.astype(slow.dtype)


_UPDATES = Program(_updates, "lookahead")


@checked(fast_optimizer=TRANSFORMATION, sync_period=COUNT, slow_step_size=number(0, 1), reset_state=FLAG)
def lookahead(
    fast_optimizer: Any, sync_period: Any, slow_step_size: Any, reset_state: bool = False
) -> GradientTransformationExtraArgs:
    """Every few steps of a fast optimizer, moves slow parameters towards the fast ones and starts from there again.

    Parameters are `LookaheadParams`; gradients are those at `params.fast`. The updates must be applied as they are, so
    this is the last link of a chain.

    Args:
      fast_optimizer: a transformation; extra arguments reach it.
      sync_period: fast steps from one synchronisation to the next, at least 1.
      slow_step_size: how far the slow parameters follow, in [0, 1]: 0 not at all, 1 all the way.
      reset_state: start the fast optimizer anew after each synchronisation.

    Raises:
      ArgumentError: the parameters are no `LookaheadParams`.
      HyperparameterError: sync_period is less than 1, or slow_step_size outside [0, 1].

    Source: Zhang et al. 2019, arXiv:1907.08610, Algorithm 1.

    Example:
      >>> from nablax.optimizers import sgd
      >>> tx = lookahead(sgd(0.5), sync_period=1, slow_step_size=0.5)
      >>> params = LookaheadParams.init_synced(jnp.array(2.0))
      >>> updates, state = tx.update(jnp.array(2.0), tx.init(params), params)
      >>> params = apply_updates(params, updates)
      >>> print(params.fast, params.slow)
      1.5 1.5
    """
    tx = with_extra_args_support(fast_optimizer)

    def init(params: Any) -> LookaheadState:
        # Fast parameters alone are enough to start from.
        return LookaheadState(tx.init(getattr(params, "fast", params)), zero_count())

    def update(updates: Updates, state: Any, params: Any = None, **extra: Any) -> tuple[LookaheadParams, Any]:
        if not (hasattr(params, "fast") and hasattr(params, "slow")):
            raise ArgumentError(
                "lookahead: params must be LookaheadParams(fast, slow), as LookaheadParams.init_synced makes them, got "
                f"{type(params).__name__}. Call update(gradients, state, params)."
            )
        updates, fast_state = tx.update(updates, state.fast_state, params.fast, **extra)
        steps = state.steps_since_sync + 1
        sync = steps >= as_array(sync_period)
        both = _both_updates(updates, params, sync, as_array(slow_step_size))
        if reset_state:
            fast_state = branch(
                sync,
                lambda: tree.cast_like(tx.init(apply_updates(params.fast, both.fast)), fast_state),
                lambda: fast_state,
            )
        return both, LookaheadState(fast_state, jnp.where(sync, jnp.zeros_like(steps), steps))

    def seen(params: Any, tree: Any) -> dict[str, Any]:
        return {"fast_optimizer": getattr(tree, "fast", tree)}

    return wrapper(init, update, {"fast_optimizer": tx}, {"fast_optimizer": ("fast_state",)}, seen=seen)


def _both_updates(updates: Updates, params: Any, sync: Any, slow_step_size: Any) -> LookaheadParams:
    pairs, treedef = map_leaves(
        _UPDATES, updates, params.fast, params.slow, shared=(sync, slow_step_size),
        what="updates, params.fast and params.slow",
    )  # fmt: skip
    return LookaheadParams(*(treedef.unflatten([pair and pair[i] for pair in pairs]) for i in (0, 1)))
