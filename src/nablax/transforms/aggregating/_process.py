"""Gradients of single examples on their way to an update: transform each, aggregate them, transform the aggregate.

    per-example gradients -> preprocessor -> aggregator -> postprocessor -> updates

An aggregator takes leaves with an extra axis of examples away (`_mean`). It may also gather several calls
into one, and it may say more than the mean: the sum of squared differences from it, from which the variance of the
gradient follows (`_variance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import (
    GradientTransformationExtraArgs,
    Transformation,
    TransformUpdateExtraArgsFn,
    Updates,
    chain,
    checked,
    identity,
    with_extra_args_support,
    wrapper,
)
from nablax.transforms.aggregating._mean import Aggregator
from nablax.transforms.aggregating._variance import (
    get_per_element_mean_and_sum_sq_diff_grads,
    track_per_element_mean_and_variance_with_ema,
)

PerElementUpdates = Updates
AggregatedUpdates = Updates
MaybeAxis = int | Sequence[int] | None
AggregatorUpdateFn = TransformUpdateExtraArgsFn


@checked()
def process(
    preprocessor: Any, aggregator: Any, postprocessor: Any, aggregator_has_aux: bool = False
) -> GradientTransformationExtraArgs:
    """A transformation from per-example gradients to updates.

    Where the aggregator gathers several calls (its state has a field `ready`), the postprocessor runs, under a
    condition, only when they are all there; until then updates are zero and its state stays.

    Args:
      preprocessor: of per-example gradients.
      aggregator: an `Aggregator`, or a transformation of gradients that come averaged.
      postprocessor: of the aggregate: an optimizer.
      aggregator_has_aux: the aggregator returns `(updates, aux)`; the dict aux goes to the postprocessor as keyword
        arguments.

    Example:
      >>> from nablax.optimizers import sgd
      >>> from nablax.core import identity
      >>> from nablax.transforms.aggregating import average_per_element_updates
      >>> tx = process(identity(), average_per_element_updates(), sgd(1.0))
      >>> tx.update(jnp.array([[1.0, 2.0], [3.0, 4.0]]), tx.init(jnp.zeros(2)))[0]
      Array([-2., -3.], dtype=float32)
    """
    preprocessor, postprocessor = map(with_extra_args_support, (preprocessor, postprocessor))

    def init(params: Any) -> tuple[Any, Any, Any]:
        return preprocessor.init(params), aggregator.init(params), postprocessor.init(params)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        before, middle, after = state
        updates, before = preprocessor.update(updates, before, params, **extra)
        out, middle = aggregator.update(updates, middle, params)
        mean, aux = out if aggregator_has_aux else (out, {})

        def run() -> tuple[Any, Any]:
            return postprocessor.update(mean, after, params, **{**extra, **aux})

        ready = tree.get(middle, "ready")
        if ready is None:
            final, after = run()
        else:
            shapes, _ = jax.eval_shape(run)
            final, after = lax.cond(
                ready,
                run,
                lambda: (jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes), after),
            )
        return final, (before, middle, after)

    children = {"preprocessor": preprocessor, "aggregator": aggregator, "postprocessor": postprocessor}
    places = {name: (i,) for i, name in enumerate(children)}
    kind: Any = Aggregator if isinstance(aggregator, Aggregator) else Transformation
    return kind.of(wrapper(init, update, children, places).call)


@checked()
def add_mean_variance_to_opt(
    opt: Any, ema_decay: float = 0.9, per_elt_axis: int = 0, accumulation_steps: int = 1
) -> GradientTransformationExtraArgs:
    """An optimizer of per-example gradients that also tracks their mean and variance.

    Args:
      opt: any optimizer; it sees the mean gradient.
      ema_decay: of the moving averages, in [0, 1).
      per_elt_axis: the axis of examples.
      accumulation_steps: calls to an update, at least 1.

    Returns:
      A transformation; `get_unbiased_mean_and_variance_ema(state)` reads what it tracked.
    """
    return process(
        identity(),
        get_per_element_mean_and_sum_sq_diff_grads(per_elt_axis, accumulation_steps),
        chain(track_per_element_mean_and_variance_with_ema(ema_decay), opt),
        aggregator_has_aux=True,
    )
