"""Transformations that run only where a condition holds: on finite gradients, or at certain steps."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    FLAG,
    FUNCTION,
    TRANSFORMATION,
    GradientTransformationExtraArgs,
    Params,
    Updates,
    as_array,
    checked,
    number,
    safe_increment,
    with_extra_args_support,
    wrapper,
    zero_count,
)
from nablax.transforms._branch import Conditional, zeros_as


class ApplyIfFiniteState(NamedTuple):
    """The state of `apply_if_finite`.

    Attributes:
      notfinite_count: updates in a row, up to now, with an infinity or a NaN; int32 scalar.
      last_finite: whether the last updates were finite; bool scalar.
      total_notfinite: updates with an infinity or a NaN since init; int32 scalar.
      inner_state: state of the inner transformation.
    """

    notfinite_count: Any
    last_finite: Any
    total_notfinite: Any
    inner_state: Any


@jax.jit
def _count_errors(finite: Any, streak: Any, total: Any, allowed: Any) -> tuple[Any, Any, Any]:
    streak = jnp.where(finite, jnp.zeros_like(streak), safe_increment(streak))
    total = jnp.where(finite, total, safe_increment(total))
    return finite | (streak > allowed), streak, total


@checked(inner=TRANSFORMATION, max_consecutive_errors=number(0, integer=True))
def apply_if_finite(inner: Any, max_consecutive_errors: Any) -> GradientTransformationExtraArgs:
    """Skips updates that hold an infinity or a NaN, unless too many of them come in a row.

    A skipped update is zero and leaves the inner state as it was.

    Args:
      inner: the transformation to protect.
      max_consecutive_errors: skipped updates in a row; further ones go through to `inner`. Not negative.

    Raises:
      HyperparameterError: max_consecutive_errors is negative or NaN.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import scale
      >>> tx = apply_if_finite(scale(-1.0), 5)
      >>> updates, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.zeros(2)))
      >>> print(updates, state.notfinite_count)
      [0. 0.] 1
    """
    tx = with_extra_args_support(inner)
    guarded = Conditional(tx, zeros_as)

    def init(params: Params) -> ApplyIfFiniteState:
        return ApplyIfFiniteState(zero_count(), jnp.array(True), zero_count(), tx.init(params))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        finite = tree.all_finite(updates)
        go, streak, total = _count_errors(
            finite, state.notfinite_count, state.total_notfinite, as_array(max_consecutive_errors)
        )
        new, inner_state = guarded.update(go, updates, state.inner_state, params, extra)
        return new, ApplyIfFiniteState(streak, finite, total, inner_state)

    return wrapper(init, update, {"inner": tx}, {"inner": ("inner_state",)})


class ConditionFn(Protocol):
    """`should_transform_fn(step, **extra_args) -> bool`: whether to transform at a step, counted from 0."""

    def __call__(self, step: Any, **extra_args: Any) -> Any: ...


class ConditionallyTransformState(NamedTuple):
    """inner_state: of the inner transformation. step: updates so far, an int32 scalar."""

    inner_state: Any
    step: Any


class ConditionallyMaskState(NamedTuple):
    """step: updates so far, an int32 scalar. inner_state: of the inner transformation."""

    step: Any
    inner_state: Any


def _at_steps(
    state_class: Any,
    otherwise: Any,
    inner: Any,
    should_transform_fn: Any,
    forward_extra_args: bool,
) -> GradientTransformationExtraArgs:
    tx = with_extra_args_support(inner)
    guarded = Conditional(tx, otherwise)

    def init(params: Params) -> Any:
        return state_class(inner_state=tx.init(params), step=zero_count())

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        go = should_transform_fn(state.step, **(extra if forward_extra_args else {}))
        new, inner_state = guarded.update(go, updates, state.inner_state, params, extra)
        return new, state_class(inner_state=inner_state, step=safe_increment(state.step))

    return wrapper(init, update, {"inner": tx}, {"inner": ("inner_state",)})


def _as_dtype(g: Any, dtype: Any) -> jax.Array:
    return jnp.asarray(g).astype(dtype)


@checked(inner=TRANSFORMATION, should_transform_fn=FUNCTION, forward_extra_args=FLAG)
def conditionally_transform(
    inner: Any, should_transform_fn: ConditionFn, forward_extra_args: bool = False
) -> GradientTransformationExtraArgs:
    """Transforms updates at the steps that a condition picks; at others they pass as they are.

    At other steps the inner state stays what it was. Under jit the inner transformation runs only where needed.

    Args:
      inner: the transformation.
      should_transform_fn: function of the number of updates so far, an int32 scalar, to a boolean scalar.
      forward_extra_args: hand the extra arguments of `update` to it as well.

    Raises:
      ArgumentError: should_transform_fn is not callable.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import scale
      >>> tx = conditionally_transform(scale(2.0), lambda step: step >= 1)
      >>> state = tx.init(None)
      >>> first, state = tx.update(jnp.ones(()), state)
      >>> second, state = tx.update(jnp.ones(()), state)
      >>> print(first, second)
      1.0 2.0
    """
    return _at_steps(
        ConditionallyTransformState,
        _as_dtype,
        inner,
        should_transform_fn,
        forward_extra_args,
    )


@checked(inner=TRANSFORMATION, should_transform_fn=FUNCTION, forward_extra_args=FLAG)
def conditionally_mask(
    inner: Any, should_transform_fn: ConditionFn, forward_extra_args: bool = False
) -> GradientTransformationExtraArgs:
    """Transforms updates at the steps that a condition picks; at others they are zero.

    At other steps the inner state stays what it was.

    Args:
      inner: the transformation.
      should_transform_fn, forward_extra_args: as in `conditionally_transform`.

    Raises:
      ArgumentError: should_transform_fn is not callable.
    """
    return _at_steps(ConditionallyMaskState, zeros_as, inner, should_transform_fn, forward_extra_args)
