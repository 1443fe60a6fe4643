"""`dynamic_loss_scale`: a factor for the loss that keeps small float16 gradients alive, and finds its size itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    COUNT,
    TRANSFORMATION,
    Advanced,
    GradientTransformationExtraArgs,
    Params,
    advanced,
    as_array,
    body_of,
    call_of,
    checked,
    count,
    fields,
    inner_state,
    moving,
    number,
    require_params,
    safe_increment,
    scalar,
    with_extra_args_support,
    zero_count,
)
from nablax.tree import all_finite, at_least_float32


class LossScaleState(NamedTuple):
    """The state of `dynamic_loss_scale`.

    Attributes:
      loss_scale: what the next loss is to be multiplied by; a float32 scalar, a power of two where the options are.
      good_steps: steps since the scale changed last; an int32 scalar.
      skipped_steps: steps without an update, because a gradient was infinite or NaN; an int32 scalar.
      inner_state: state of the inner transformation.
    """

    loss_scale: Any
    good_steps: Any
    skipped_steps: Any
    inner_state: Any


@checked(
    inner=TRANSFORMATION,
    initial=number(0, open_low=True),
    growth=number(1),
    backoff=number(0, 1, open_low=True),
    interval=COUNT,
    smallest=number(0, open_low=True),
)
def dynamic_loss_scale(
    inner: Any,
    initial: float = 2.0**16,
    *,
    growth: float = 2.0,
    backoff: float = 0.5,
    interval: int = 2000,
    smallest: float = 1.0,
) -> GradientTransformationExtraArgs:
    """Takes gradients of `loss * loss_scale_of(state)`, divides them, and skips steps whose gradients overflow.

    The scale falls after each overflow and grows after `interval` steps without one. It is a power of two, so that
    where nothing overflows the run is that without it, to the last digit. `train_step(..., loss_scale="dynamic")` does
    all this.

    Args:
      inner: the transformation; it gets gradients of at least float32, divided by the scale.
      initial: the first scale, positive.
      growth: factor after `interval` good steps, at least 1.
      backoff: factor after an overflow, in (0, 1].
      interval: good steps in a row before the scale grows, an integer >= 1.
      smallest: the scale falls no further.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: those of torch's GradScaler; smallest = 1 is ours.

    Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import sgd
      >>> tx = dynamic_loss_scale(sgd(1.0), 8.0)
      >>> state = tx.init(w := jnp.ones(2))
      >>> updates, state = tx.update(jnp.array([8.0, jnp.inf]), state, w)
      >>> updates, float(loss_scale_of(state))
      (Array([0., 0.], dtype=float32), 4.0)
    """
    tx = with_extra_args_support(inner)
    init = fields(
        LossScaleState,
        loss_scale=scalar(lambda params: as_array(initial), jnp.float32),
        good_steps=count(),
        skipped_steps=count(),
        inner_state=inner_state(tx),
    )

    def advance(updates: Any, state: Any, params: Params, extra: dict[str, Any], by_hand: bool) -> Advanced:
        require_params("dynamic_loss_scale", params)
        finite = all_finite(updates)
        grads = jax.tree.map(lambda g: g.astype(at_least_float32(g.dtype)) / state.loss_scale, updates)
        if "grad" in extra:
            extra = {**extra, "grad": grads}
        done = advanced(tx, grads, state.inner_state, params, extra, by_hand)

        def keep(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

        good = jnp.where(finite, safe_increment(state.good_steps), zero_count())
        grows = good >= jnp.asarray(as_array(interval))
        fallen = jnp.maximum(state.loss_scale * as_array(backoff), as_array(smallest))
        grown = state.loss_scale * as_array(growth)
        grown = jnp.where(jnp.isfinite(grown), grown, state.loss_scale)
        scale = jnp.where(finite, jnp.where(grows, grown, state.loss_scale), fallen)
        new_state = LossScaleState(
            scale.astype(jnp.float32),
            jnp.where(grows, zero_count(), good),
            state.skipped_steps + 1 - finite.astype(jnp.int32),
            keep(done.state, state.inner_state),
        )
        changes = jax.tree.map(lambda u: jnp.where(finite, u, jnp.zeros_like(u)), done.updates)
        if by_hand:
            point = None if done.point is None else keep(done.point, _like(params, done.point))
            return Advanced(None, new_state, changes, point)
        point = None if done.point is None else keep(done.point, _like(params, done.point))
        return Advanced(keep(done.params, params), new_state, changes, point)

    return moving(init, advance, {"inner": tx}, {"inner": ("inner_state",)})


def _like(params: Params, point: Any) -> Any:
    return jax.tree.map(lambda p, w: jnp.asarray(p).astype(w.dtype), params, point)


def holds_loss_scale(tx: Any) -> bool:
    """Whether a transformation is, or has inside, a `dynamic_loss_scale`."""
    call, body = call_of(tx), body_of(tx)
    if call is not None and call.function is dynamic_loss_scale:
        return True
    return body is not None and any(map(holds_loss_scale, body.children.values()))


def find_loss_scale(state: Any) -> Any:
    """The state of the outermost `dynamic_loss_scale` within a state; None where there is none."""
    is_scale = lambda x: isinstance(x, LossScaleState)  # noqa: E731
    return next((x for x in jax.tree.leaves(state, is_leaf=is_scale) if is_scale(x)), None)


def loss_scale_of(state: Any) -> jax.Array:
    """What the next loss is to be multiplied by: the scale of the outermost `dynamic_loss_scale` within a state, or 1.

    Args:
      state: of any transformation.
    """
    found = find_loss_scale(state)
    return jnp.ones((), jnp.float32) if found is None else found.loss_scale
