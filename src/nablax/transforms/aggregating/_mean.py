"""Aggregators of per-example gradients: their mean, over examples and over several calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    ARRAYS,
    COUNT,
    INTEGER,
    GradientTransformation,
    StructureError,
    Transformation,
    accumulator,
    as_array,
    checked,
    count,
    fields,
    flag,
    identity,
    init_empty_state,
    refusing,
)


class Aggregator(Transformation):
    """A transformation from per-example gradients, with an extra axis, to one update.

    Attributes:
      init: `init(params) -> state`.
      update: `update(per_example_updates, state, params=None) -> (updates, state)`; some return
        `((updates, aux), state)`.
    """

    __slots__ = ()


class AccumulateAvgUpdatesState(NamedTuple):
    """micro_step: calls since the last update, int32. ready: whether the last call made an update. avg_grad: mean of
    those calls, at least float32."""

    micro_step: Any
    ready: Any
    avg_grad: Any


def wide(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(tree.at_least_float32(x.dtype))


def released(ready: jax.Array, trees: Any) -> Any:
    """The trees if ready, else zeros. A choice, not a product: 0 * NaN would stay NaN."""
    return jax.tree.map(lambda x: jnp.where(ready, x, 0).astype(jnp.result_type(x)), trees)


@refusing(per_elt_updates=ARRAYS, per_elt_axis=INTEGER)
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


@checked()
def average_per_element_updates(per_elt_axis: int = 0) -> Aggregator:
    """The mean over examples.

    Args:
      per_elt_axis: the axis of examples.
    """

    def update(per_elt_updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return jax.tree.map(lambda g: jnp.mean(wide(g), per_elt_axis).astype(g.dtype), per_elt_updates), state

    return Aggregator(init_empty_state, update)


@checked(accumulation_steps=COUNT)
def accumulate_avg_updates(accumulation_steps: int) -> GradientTransformation:
    """The mean of so many updates, once they are all there; zeros until then.

    In `process`, the postprocessor runs only when the mean is ready.

    Args:
      accumulation_steps: calls to an update, at least 1.
    """
    first_state = fields(
        AccumulateAvgUpdatesState, micro_step=count(), ready=flag(False), avg_grad=accumulator()
    )

    def update(
        updates: Any, state: AccumulateAvgUpdatesState, params: Any = None
    ) -> tuple[Any, AccumulateAvgUpdatesState]:
        del params
        seen = state.micro_step + 1
        ready = seen == as_array(accumulation_steps)
        mean = jax.tree.map(
            lambda m, g: m + (wide(g) - m) / seen.astype(jnp.result_type(float)), state.avg_grad, updates
        )
        mean = tree.cast_like(mean, state.avg_grad)
        new = AccumulateAvgUpdatesState(jnp.where(ready, 0, seen), ready, released(~ready, mean))
        return tree.cast_like(released(ready, mean), updates), new

    return GradientTransformation(first_state, update)


@checked(accumulation_steps=COUNT)
def average_incrementally_updates(per_elt_axis: int | None, accumulation_steps: int) -> Any:
    """The mean over examples and over several calls.

    Args:
      per_elt_axis: the axis of examples; None where gradients come averaged.
      accumulation_steps: calls to an update, at least 1.

    Returns:
      An `Aggregator`, or with `per_elt_axis=None` a transformation.
    """
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
