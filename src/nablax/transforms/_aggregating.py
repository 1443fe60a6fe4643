"""Gradients of single examples on their way to an update: transform each, aggregate them, transform the aggregate.

    per-example gradients -> preprocessor -> aggregator -> postprocessor -> updates

An aggregator takes leaves with an extra axis of examples away. It may also gather several calls into one, and it may
say more than the mean: the sum of squared differences from it, from which the variance of the gradient follows.

Batches are merged as Chan, Golub & LeVeque 1983 (doi:10.1080/00031305.1983.10483115) do: of n_a and n_b values,

    mean = mean_a + (mean_b - mean_a) n_b / n
    S    = S_a + S_b + (mean_b - mean_a)^2 n_a n_b / n,      n = n_a + n_b
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import (
    ArgumentError,
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    HyperparameterError,
    StructureError,
    TransformUpdateExtraArgsFn,
    Updates,
    abs_sq,
    chain,
    check_decay,
    identity,
    init_empty_state,
    safe_increment,
    wide_moment_like,
    with_extra_args_support,
    zero_count,
)

PerElementUpdates = Updates
AggregatedUpdates = Updates
MaybeAxis = int | Sequence[int] | None
AggregatorUpdateFn = TransformUpdateExtraArgsFn


class Aggregator(NamedTuple):
    """A transformation from per-example gradients, with an extra axis, to one update.

    Attributes:
      init: `init(params) -> state`.
      update: `update(per_example_updates, state, params=None) -> (updates, state)`; some return
        `((updates, aux), state)`.
    """

    init: Callable[..., Any]
    update: Callable[..., Any]


class AccumulateAvgUpdatesState(NamedTuple):
    """micro_step: calls since the last update, int32. ready: whether the last call made an update. avg_grad: mean of
    those calls, at least float32."""

    micro_step: Any
    ready: Any
    avg_grad: Any


class PerElementMeanAndSumSqDiffGradsState(NamedTuple):
    """micro_step: calls since the last update, int32. ready: whether the last call made an update. mean_grads,
    sum_sq_diff_grads: of the examples of those calls, at least float32, the latter real."""

    micro_step: Any
    ready: Any
    mean_grads: Any
    sum_sq_diff_grads: Any


class PerElementMeanAndVarianceEMAState(NamedTuple):
    """count: updates, int32. ema_decay: float32. mean_grads_ema, variance_grads_ema: moving averages from 0, at least
    float32, the latter real."""

    count: Any
    ema_decay: Any
    mean_grads_ema: Any
    variance_grads_ema: Any


def _check_steps(who: str, steps: Any) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise HyperparameterError(
            f"{who}: accumulation_steps must be an integer of at least 1, got {steps!r}."
        )


def _wide(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(tree.at_least_float32(x.dtype))


def _released(ready: jax.Array, trees: Any) -> Any:
    """The trees if ready, else zeros. A choice, not a product: 0 * NaN would stay NaN."""
    return jax.tree.map(lambda x: jnp.where(ready, x, 0).astype(jnp.result_type(x)), trees)


def get_batch_size_from_per_elt_updates(per_elt_updates: Any, per_elt_axis: int) -> int:
    """The number of examples.

    Args:
      per_elt_updates: tree of arrays with one axis of examples.
      per_elt_axis: which.

    Raises:
      StructureError: leaves differ in it, or there is none.
    """
    sizes = {jnp.shape(x)[per_elt_axis] for x in jax.tree.leaves(per_elt_updates)}
    if len(sizes) != 1:
        raise StructureError(f"per-element updates must have one axis of examples, of sizes {sorted(sizes)}.")
    return sizes.pop()


def average_per_element_updates(per_elt_axis: int = 0) -> Aggregator:
    """The mean over examples.

    Args:
      per_elt_axis: the axis of examples.
    """

    def update(per_elt_updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return jax.tree.map(
            lambda g: jnp.mean(_wide(g), per_elt_axis).astype(g.dtype), per_elt_updates
        ), state

    return Aggregator(init_empty_state, update)


def accumulate_avg_updates(accumulation_steps: int) -> GradientTransformation:
    """The mean of so many updates, once they are all there; zeros until then.

    In `process`, the postprocessor runs only when the mean is ready.

    Args:
      accumulation_steps: calls to an update, at least 1.
    """
    _check_steps("accumulate_avg_updates", accumulation_steps)

    def init(params: Any) -> AccumulateAvgUpdatesState:
        return AccumulateAvgUpdatesState(zero_count(), jnp.asarray(False), wide_moment_like(params))

    def update(
        updates: Any, state: AccumulateAvgUpdatesState, params: Any = None
    ) -> tuple[Any, AccumulateAvgUpdatesState]:
        del params
        seen = state.micro_step + 1
        ready = seen == accumulation_steps
        mean = jax.tree.map(
            lambda m, g: m + (_wide(g) - m) / seen.astype(jnp.float32), state.avg_grad, updates
        )
        mean = tree.cast_like(mean, state.avg_grad)
        new = AccumulateAvgUpdatesState(jnp.where(ready, 0, seen), ready, _released(~ready, mean))
        return tree.cast_like(_released(ready, mean), updates), new

    return GradientTransformation(init, update)


def average_incrementally_updates(per_elt_axis: int | None, accumulation_steps: int) -> Any:
    """The mean over examples and over several calls.

    Args:
      per_elt_axis: the axis of examples; None where gradients come averaged.
      accumulation_steps: calls to an update, at least 1.

    Returns:
      An `Aggregator`, or with `per_elt_axis=None` a transformation.
    """
    _check_steps("average_incrementally_updates", accumulation_steps)
    over_calls = identity() if accumulation_steps == 1 else accumulate_avg_updates(accumulation_steps)
    if per_elt_axis is None:
        return over_calls
    over_examples = average_per_element_updates(per_elt_axis)

    def init(params: Any) -> tuple[Any, Any]:
        return over_examples.init(params), over_calls.init(params)

    def update(per_elt_updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mean, first = over_examples.update(per_elt_updates, state[0], params)
        mean, second = over_calls.update(mean, state[1], params)
        return mean, (first, second)

    return Aggregator(init, update)


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
    _check_steps("get_per_element_mean_and_sum_sq_diff_grads", accumulation_steps)

    def of_batch(g: Any) -> tuple[jax.Array, jax.Array]:
        g = _wide(g)
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
        before = state.micro_step.astype(jnp.float32)
        share = 1 / (before + 1)  # of the new batch: n_b / n
        squares = jax.tree.map(
            lambda s, t, m, n: s + t + abs_sq(n - m) * (size * before * share),
            state.sum_sq_diff_grads, squares, state.mean_grads, mean,
        )  # fmt: skip
        mean = jax.tree.map(lambda m, n: m + (n - m) * share, state.mean_grads, mean)
        mean, squares = tree.cast_like((mean, squares), (state.mean_grads, state.sum_sq_diff_grads))
        ready = state.micro_step + 1 == accumulation_steps
        new = PerElementMeanAndSumSqDiffGradsState(
            jnp.where(ready, 0, state.micro_step + 1), ready, *_released(~ready, (mean, squares))
        )
        mean, squares = _released(ready, (mean, squares))
        sample_size = jnp.where(ready, jnp.asarray(size * accumulation_steps, jnp.int32), 0)
        aux = {"sum_sq_diff_grads": squares, "sample_size": sample_size}
        return (tree.cast_like(mean, per_elt_updates), aux), new

    return Aggregator(init, update)


def track_per_element_mean_and_variance_with_ema(ema_decay: float = 0.9) -> GradientTransformationExtraArgs:
    """Passes updates on, and keeps moving averages of the gradient's mean and of its variance over examples.

    Its `update` takes the keyword arguments that `get_per_element_mean_and_sum_sq_diff_grads` makes. Read the result
    with `get_unbiased_mean_and_variance_ema`. The variance of a sample of one is taken as 0.

    Args:
      ema_decay: in [0, 1).
    """
    check_decay("track_per_element_mean_and_variance_with_ema", ema_decay=ema_decay)

    def init(params: Any) -> PerElementMeanAndVarianceEMAState:
        return PerElementMeanAndVarianceEMAState(
            zero_count(),
            jnp.asarray(ema_decay, jnp.float32),
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
        decay = state.ema_decay
        degrees = jnp.maximum(sample_size - 1, 1)

        def average(old: Any, new: Any) -> Any:
            return (decay * old + (1 - decay) * _wide(new)).astype(old.dtype)

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

    return GradientTransformationExtraArgs(init, update)


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
