"""Exponential and cosine decay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._base import Schedule
from nablax.core._checks import check_nonnegative, check_number, check_positive

from ._schedule import FormulaSchedule, as_float, check_values, elapsed_and_remaining, half_cosine


def exponential_decay(
    init_value: Any,
    transition_steps: Any,
    decay_rate: Any,
    transition_begin: Any = 0,
    staircase: bool = False,
    end_value: Any = None,
) -> Schedule:
    """Decay by a constant factor every so many steps.

        f(t) = init * rate^((t - begin) / steps) for t > begin, init before

    Args:
      init_value: f(0).
      transition_steps: updates in which f is multiplied once by `decay_rate`; > 0.
      decay_rate: the factor; > 0. Above 1 the value grows.
      transition_begin: updates before the decay begins; >= 0.
      staircase: whether the exponent is rounded down, so that f falls in steps.
      end_value: a lower bound of f if `decay_rate < 1`, otherwise an upper bound. None: no bound.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: a number outside its range.

    >>> f = exponential_decay(1.0, transition_steps=2, decay_rate=0.25)
    >>> print(f(1), f(2))
    0.5 0.25
    """
    name = "exponential_decay"
    check_values(name, init_value=init_value)
    check_exponential(name, transition_steps, decay_rate, transition_begin, end_value)
    return FormulaSchedule(
        name, exponential, init_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )


def check_exponential(name: str, steps: Any, rate: Any, begin: Any, end_value: Any) -> None:
    check_positive(name, transition_steps=steps, decay_rate=rate)
    check_nonnegative(name, transition_begin=begin)
    check_number(name, "end_value", end_value, optional=True)


def exponential(
    count: jax.Array,
    init_value: Any,
    transition_steps: Any,
    decay_rate: Any,
    transition_begin: Any,
    staircase: Any,
    end_value: Any,
) -> jax.Array:
    """The formula of `exponential_decay`."""
    after = jnp.maximum(count - transition_begin, 0)
    whole = as_float(after // transition_steps)  # on the integers, so that a step never falls one late
    exponent = jnp.where(staircase, whole, as_float(after) / as_float(transition_steps))
    rate = as_float(decay_rate)
    value = as_float(init_value) * rate**exponent
    if end_value is None:
        return value
    return jnp.where(rate < 1, jnp.maximum(value, end_value), jnp.minimum(value, end_value))


def cosine_decay_schedule(
    init_value: Any, decay_steps: Any, alpha: Any = 0.0, exponent: Any = 1.0
) -> Schedule:
    """Half a period of a cosine, from a value down to a fraction of it.

        f(t) = init ((1 - alpha) c^exponent + alpha),   c = (1 + cos(pi min(t / steps, 1))) / 2

    Args:
      init_value: f(0).
      decay_steps: when the floor is reached; > 0.
      alpha: the floor, as a fraction of `init_value`.
      exponent: power of the cosine; 1 is the plain one.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: decay_steps is not positive, or any argument is NaN.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5.

    >>> f = cosine_decay_schedule(1.0, decay_steps=10)
    >>> print(f"{f(0):.3f} {f(5):.3f} {f(10):.3f}")
    1.000 0.500 0.000
    """
    name = "cosine_decay_schedule"
    check_values(name, init_value=init_value, alpha=alpha)
    check_number(name, "decay_steps", decay_steps, 0, open_low=True)
    check_number(name, "exponent", exponent)
    return FormulaSchedule(name, _cosine, init_value, decay_steps, alpha, exponent)


def _cosine(count: jax.Array, init_value: Any, decay_steps: Any, alpha: Any, exponent: Any) -> jax.Array:
    _, remaining = elapsed_and_remaining(count, 0, decay_steps)
    factor = half_cosine(remaining) ** as_float(exponent)
    alpha = as_float(alpha)
    return as_float(init_value) * ((1 - alpha) * factor + alpha)
