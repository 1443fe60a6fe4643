"""Constant, linear and polynomial schedules."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import Schedule, check_number

from ._schedule import FormulaSchedule, between, check_values, elapsed_and_remaining, is_known, wide


def constant_schedule(value: Any) -> Schedule:
    """The same value at every step.   f(t) = value

    Args:
      value: a number, or an array that broadcasts against the counts.

    Returns:
      Function of the count: at one count, `value` itself, such as it was given; at a vector of counts, a vector.

    Raises:
      HyperparameterError: value is NaN.

    >>> print(constant_schedule(5)(100))
    5
    """
    check_values("constant_schedule", value=value)
    return _Constant("constant_schedule", _constant, value)


def _constant(count: jax.Array, value: Any) -> jax.Array:
    return jnp.broadcast_to(value, jnp.broadcast_shapes(jnp.shape(value), count.shape))


class _Constant(FormulaSchedule):
    def __init__(self, name: str, function: Any, value: Any):
        super().__init__(name, function, value)
        self.value = value

    def __call__(self, count: Any) -> Any:
        return super().__call__(count) if np.ndim(count) else self.value


def polynomial_schedule(
    init_value: Any, end_value: Any, power: Any, transition_steps: Any, transition_begin: Any = 0
) -> Schedule:
    """From one value to another along a power of the time that is left.

        f(t) = end + (init - end) (1 - x)^power,   x = clip((t - begin) / steps, 0, 1)

    Args:
      init_value: f before and at `transition_begin`.
      end_value: f from `transition_begin + transition_steps` on.
      power: 1 is linear; above 1 falls fast first, below 1 last.
      transition_steps: how long the transition takes. If it is not positive there is no transition and f
        stays at `init_value`.
      transition_begin: updates, counted from 0, before the transition begins; negative ones are 0.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: an argument is NaN.

    Defaults: as in Optax.

    >>> f = polynomial_schedule(1.0, 0.0, power=2, transition_steps=10)
    >>> print(f(5), f(10))
    0.25 0.0
    """
    name = "polynomial_schedule"
    check_number(name, "power", power)
    _check_transition(name, init_value, end_value, transition_steps, transition_begin)
    if is_known(transition_steps) and transition_steps <= 0:
        return constant_schedule(init_value)
    return FormulaSchedule(
        name, _polynomial, init_value, end_value, power, transition_steps, transition_begin
    )


def linear_schedule(
    init_value: Any, end_value: Any, transition_steps: Any, transition_begin: Any = 0
) -> Schedule:
    """From one value to another along a straight line.

        f(t) = init + (end - init) x,   x = clip((t - begin) / steps, 0, 1)

    Args:
      init_value: f before and at `transition_begin`.
      end_value: f from `transition_begin + transition_steps` on.
      transition_steps: how long the transition takes. If it is not positive there is no transition and f
        stays at `init_value`.
      transition_begin: updates, counted from 0, before the transition begins; negative ones are 0.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: an argument is NaN.

    Defaults: as in Optax.

    >>> f = linear_schedule(1.0, 0.0, transition_steps=4)
    >>> print(f(0), f(1), f(4))
    1.0 0.75 0.0
    """
    _check_transition("linear_schedule", init_value, end_value, transition_steps, transition_begin)
    if is_known(transition_steps) and transition_steps <= 0:
        return constant_schedule(init_value)
    return FormulaSchedule(
        "linear_schedule", _linear, init_value, end_value, transition_steps, transition_begin
    )


def _check_transition(name: str, init_value: Any, end_value: Any, steps: Any, begin: Any) -> None:
    check_values(name, init_value=init_value, end_value=end_value)
    check_number(name, "transition_steps", steps)
    check_number(name, "transition_begin", begin)


def _polynomial(
    count: jax.Array,
    init_value: Any,
    end_value: Any,
    power: Any,
    transition_steps: Any,
    transition_begin: Any,
) -> jax.Array:
    _, remaining = elapsed_and_remaining(count, jnp.maximum(transition_begin, 0), transition_steps)
    weight = remaining ** wide(power)
    weight = jnp.where(jnp.asarray(transition_steps) > 0, weight, 1.0)
    return between(init_value, end_value, 1 - weight, weight)


def _linear(
    count: jax.Array, init_value: Any, end_value: Any, transition_steps: Any, transition_begin: Any
) -> jax.Array:
    elapsed, remaining = elapsed_and_remaining(count, jnp.maximum(transition_begin, 0), transition_steps)
    moves = jnp.asarray(transition_steps) > 0
    return between(init_value, end_value, jnp.where(moves, elapsed, 0.0), jnp.where(moves, remaining, 1.0))
