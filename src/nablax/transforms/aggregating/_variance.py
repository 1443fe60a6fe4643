"""The variance of gradients over examples: an aggregator that measures it, and a transformation that remembers it.

Batches are merged as Chan, Golub & LeVeque 1983 (doi:10.1080/00031305.1983.10483115) do: of n_a and n_b values,

    mean = mean_a + (mean_b - mean_a) n_b / n
    S    = S_a + S_b + (mean_b - mean_a)^2 n_a n_b / n,      n = n_a + n_b
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    COUNT,
    DECAY,
    ArgumentError,
    EmptyState,
    GradientTransformationExtraArgs,
    StructureError,
    abs_sq,
    as_array,
    checked,
    safe_increment,
    wide_moment_like,
    zero_count,
)
from nablax.transforms.aggregating._mean import (
    Aggregator,
    get_batch_size_from_per_elt_updates,
    released,
    wide,
)


class PerElementMeanAndSumSqDiffGradsState(NamedTuple):
    """micro_step: calls since the last update, int32. ready: whether the last call made an update. mean_grads,
    sum_sq_diff_grads: of the examples of those calls, at least float32, the latter real."""

    micro_step: Any
    ready: Any
    mean_grads: Any
    sum_sq_diff_grads: Any


class PerElementMeanAndVarianceEMAState(NamedTuple):
    """count: updates, int32. ema_decay: float32, or float64 where that is enabled. mean_grads_ema, variance_grads_ema:
    moving averages from 0, at least float32, the latter real."""

    count: Any
    ema_decay: Any
    mean_grads_ema: Any
    variance_grads_ema: Any


@checked(accumulation_steps=COUNT)
def get_per_element_mean_and_sum_sq_diff_grads(
    per_elt_axis: int = 0, accumulation_steps: int = 1
) -> Aggregator:
    """The mean over examples, and the sum of their squared differences from it.

    Its update returns `((mean, {"sum_sq_diff_grads": tree, "sample_size": n}), state)`; all zeros while calls are
    gathered. It goes with `track_per_element_mean_and_variance_with_ema` and `process(..., aggregator_has_aux=True)`.

    Args:
      per_elt_axis: the axis of examples.
      accumulation_steps: calls of equally many examples to an update, at least 1.

    Source: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """

    def of_batch(g: Any) -> tuple[jax.Array, jax.Array]:
        g = wide(g)
        mean = jnp.mean(g, per_elt_axis, keepdims=True)
        return jnp.squeeze(mean, per_elt_axis), jnp.sum(abs_sq(g - mean), per_elt_axis)

    def init(params: Any) -> Any:
        if accumulation_steps == 1:
            return EmptyState()
        return PerElementMeanAndSumSqDiffGradsState(
            zero_count(), jnp.asarray(False), wide_moment_like(params), wide_moment_like(params, real=True)
        )

    def update(per_elt_updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        size = get_batch_size_from_per_elt_updates(per_elt_updates, per_elt_axis)
        pairs = jax.tree.map(of_batch, per_elt_updates)
        mean, squares = jax.tree.transpose(
            jax.tree.structure(per_elt_updates), jax.tree.structure((0, 0)), pairs
        )
        if accumulation_steps == 1:
            out = tree.cast_like(mean, per_elt_updates)
            return (out, {"sum_sq_diff_grads": squares, "sample_size": size}), state
        before = state.micro_step.astype(jnp.result_type(float))
        share = 1 / (before + 1)  # of the new batch: n_b / n
        squares = jax.tree.map(
            lambda s, t, m, n: s + t + abs_sq(n - m) * (size * before * share),
            state.sum_sq_diff_grads, squares, state.mean_grads, mean,
        )  # fmt: skip
        mean = jax.tree.map(lambda m, n: m + (n - m) * share, state.mean_grads, mean)
        mean, squares = tree.cast_like((mean, squares), (state.mean_grads, state.sum_sq_diff_grads))
        ready = state.micro_step + 1 == accumulation_steps
        new = PerElementMeanAndSumSqDiffGradsState(
            jnp.where(ready, 0, state.micro_step + 1), ready, *released(~ready, (mean, squares))
        )
        mean, squares = released(ready, (mean, squares))
        sample_size = jnp.where(ready, jnp.asarray(size * as_array(accumulation_steps), jnp.int32), 0)
        aux = {"sum_sq_diff_grads": squares, "sample_size": sample_size}
        return (tree.cast_like(mean, per_elt_updates), aux), new

    return Aggregator(init, update)


@checked(ema_decay=DECAY)
def track_per_element_mean_and_variance_with_ema(ema_decay: float = 0.9) -> GradientTransformationExtraArgs:
    """Passes updates on, and keeps moving averages of the gradient's mean and of its variance over examples.

    Its `update` takes the keyword arguments that `get_per_element_mean_and_sum_sq_diff_grads` makes. Read the result
    with `get_unbiased_mean_and_variance_ema`. The variance of a sample of one is taken as 0.

    Args:
      ema_decay: in [0, 1).
    """

    def init(params: Any) -> PerElementMeanAndVarianceEMAState:
        return PerElementMeanAndVarianceEMAState(
            zero_count(),
            jnp.array(ema_decay, jnp.result_type(float)),
            wide_moment_like(params),
            wide_moment_like(params, real=True),
        )

    def update(
        updates: Any,
        state: PerElementMeanAndVarianceEMAState,
        params: Any = None,
        *,
        sum_sq_diff_grads: Any = None,
        sample_size: Any = None,
        **_: Any,
    ) -> tuple[Any, PerElementMeanAndVarianceEMAState]:
        del params
        if sum_sq_diff_grads is None or sample_size is None:
            raise ArgumentError(
                "track_per_element_mean_and_variance_with_ema: update() needs sum_sq_diff_grads and sample_size; "
                "process(..., aggregator_has_aux=True) hands them on from get_per_element_mean_and_sum_sq_diff_grads."
            )
        decay = jnp.asarray(as_array(ema_decay), state.ema_decay.dtype)
        degrees = jnp.maximum(sample_size - 1, 1)

        def average(old: Any, new: Any) -> Any:
            return (decay * old + (1 - decay) * wide(new)).astype(old.dtype)

        variance = jax.tree.map(lambda s: s / degrees, sum_sq_diff_grads)
        new = PerElementMeanAndVarianceEMAState(
            safe_increment(state.count),
            decay,
            jax.tree.map(average, state.mean_grads_ema, updates),
            jax.tree.map(average, state.variance_grads_ema, variance),
        )
        return updates, new

    return GradientTransformationExtraArgs(init, update)


def get_unbiased_mean_and_variance_ema(state: Any) -> tuple[Any, Any]:
    """The moving averages of mean and variance, corrected for their start at zero.

    Args:
      state: one that holds a `PerElementMeanAndVarianceEMAState`.

    Returns:
      Trees like the parameters: mean and variance; zeros before the first update.

    Raises:
      StructureError: the state holds none.
    """
    found = [
        x
        for x in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, PerElementMeanAndVarianceEMAState))
        if isinstance(x, PerElementMeanAndVarianceEMAState)
    ]
    if len(found) != 1:
        raise StructureError(
            f"get_unbiased_mean_and_variance_ema: expected one record of mean and variance, got {len(found)}."
        )
    (ema,) = found
    weight = 1 - ema.ema_decay**ema.count

    def correct(x: Any) -> Any:
        return (x / jnp.where(ema.count > 0, weight, 1)).astype(x.dtype)

    return jax.tree.map(correct, ema.mean_grads_ema), jax.tree.map(correct, ema.variance_grads_ema)
