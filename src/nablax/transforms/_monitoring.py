"""Looking at updates as they pass: measurements kept in the state, where `tree.get(state, name)` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    DTYPE,
    FLAG,
    FUNCTION,
    ArgumentError,
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    Params,
    Updates,
    checked,
    number,
    of_kind,
    stateless,
    with_extra_args_support,
    wrapper,
)
from nablax.transforms._momentum import ema


class SnapshotState(NamedTuple):
    """measurement: `{name: what was measured last}`; at init, the measure of the parameters."""

    measurement: dict[str, Any]


def _arrays(measured: Any) -> Any:
    return jax.tree.map(jnp.asarray, measured)


@checked(measure_name=of_kind("a string", lambda name: isinstance(name, str)), measure=FUNCTION)
def snapshot(measure_name: str, measure: Callable[[Updates], Any]) -> GradientTransformation:
    """Keeps a measurement of the updates at this place of a chain; they pass as they are.

    Args:
      measure_name: what `tree.get(state, measure_name)` finds it by.
      measure: function of the updates to any tree of arrays.

    Raises:
      ArgumentError: the name is no string, or the measure not callable.

    Example:
      >>> from nablax import tree
      >>> from nablax.core import chain
      >>> from nablax.transforms import scale
      >>> tx = chain(scale(2.0), snapshot("norm", tree.norm), scale(0.5))
      >>> updates, state = tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))
      >>> print(tree.get(state, "norm"))
      10.0
    """

    def init(params: Params) -> SnapshotState:
        return SnapshotState({measure_name: _arrays(measure(params))})

    def update(updates: Updates, state: Any, params: Params = None) -> tuple[Updates, SnapshotState]:
        return updates, SnapshotState({measure_name: _arrays(measure(updates))})

    return GradientTransformation(init, update)


def _check_measures(who: str, measures: Any) -> None:
    if not isinstance(measures, Mapping):
        raise ArgumentError(f"{who}: measures must be a dict of names and measures, got {measures!r}."[:300])
    for name, measure in measures.items():
        if not isinstance(name, str):
            raise ArgumentError(f"{who}: the name of a measurement must be a string, got {name!r}."[:300])
        if not (callable(measure) or hasattr(measure, "update")):
            raise ArgumentError(
                f"{who}: measure {name!r} must be a function of the updates, got {measure!r}."[:300]
            )


class MonitorState(NamedTuple):
    """measurements: last ones by name, zeros at init. measure_states: states of the measures, in order."""

    measurements: dict[str, Any]
    measure_states: tuple[Any, ...]


@checked()
def monitor(measures: Mapping[str, Any]) -> GradientTransformationExtraArgs:
    """Keeps several measurements of the updates, which pass as they are; measures may have states.

    Args:
      measures: by name, functions of the updates, or transformations whose updates are the measurement, such as
        those of `measure_with_ema`.

    Raises:
      ArgumentError: a name is no string, or a measure neither callable nor a transformation.

    Example:
      >>> from nablax import tree
      >>> tx = monitor({"norm": tree.norm, "mean_norm": measure_with_ema(tree.norm, decay=0.9)})
      >>> updates, state = tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))
      >>> print(state.measurements["norm"])
      5.0
    """
    _check_measures("monitor", measures)
    parts = {name: m if hasattr(m, "update") else _as_transformation(m) for name, m in measures.items()}
    txs = {name: with_extra_args_support(part) for name, part in parts.items()}

    def init(params: Params) -> MonitorState:
        states = tuple(tx.init(params) for tx in txs.values())
        shapes = jax.eval_shape(lambda: measure(params, states, params, {})[0])
        return MonitorState(tree.zeros_like(shapes), states)

    def measure(updates: Updates, states: Any, params: Params, extra: dict[str, Any]) -> tuple[Any, Any]:
        results = [tx.update(updates, s, params, **extra) for tx, s in zip(txs.values(), states, strict=True)]
        measurements = {name: _arrays(m) for name, (m, _) in zip(txs, results, strict=True)}
        return measurements, tuple(new for _, new in results)

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        return updates, MonitorState(*measure(updates, state.measure_states, params, extra))

    return wrapper(init, update, txs, {name: ("measure_states", i) for i, name in enumerate(txs)})


def _as_transformation(measure: Callable[[Updates], Any]) -> GradientTransformation:
    return stateless(lambda updates, params: measure(updates))


@checked(measure=FUNCTION, decay=number(0, 1, open_high=True), debias=FLAG, accumulator_dtype=DTYPE)
def measure_with_ema(
    measure: Callable[[Updates], Any], decay: Any, debias: bool = True, accumulator_dtype: Any | None = None
) -> GradientTransformationExtraArgs:
    """A measure for `monitor`: the exponential moving average of another one.

    Args:
      measure: function of the updates to a tree of arrays; booleans and integers count as numbers.
      decay: weight of the past, in [0, 1).
      debias: divide by 1 - decay^t, which makes the first average the first measurement.
      accumulator_dtype: dtype of the average in the state; None is that of the measurement, at least float32.

    Raises:
      HyperparameterError: decay outside [0, 1).
    """
    average = ema(decay, debias, accumulator_dtype)

    def wide(updates: Updates) -> Any:
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x, jnp.float32)), measure(updates))

    def init(params: Params) -> Any:
        return EmptyState(), average.init(wide(params))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Any, Any]:
        averages, ema_state = average.update(wide(updates), state[1])
        return averages, (EmptyState(), ema_state)

    return wrapper(init, update, {"ema": average}, {"ema": (1,)})
