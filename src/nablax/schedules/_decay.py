"""Exponential and cosine decay."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import Schedule, check_number

from ._polynomial import constant_schedule
from ._schedule import FormulaSchedule, check_values, elapsed_and_remaining, half_cosine, is_known, wide


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
      transition_steps: updates in which f is multiplied once by `decay_rate`. If it is not positive, f stays at
        `init_value`.
      decay_rate: the factor. Above 1 the value grows; with 0, f stays at `init_value`.
      transition_begin: updates before the decay begins; negative ones are 0.
      staircase: whether the exponent is rounded down, so that f falls in steps.
      end_value: a lower bound of f if `decay_rate < 1`, otherwise an upper bound. None: no bound.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: an argument is NaN.

    Defaults: as in Optax.

    >>> f = exponential_decay(1.0, transition_steps=2, decay_rate=0.25)
    >>> print(f(1), f(2))
    0.5 0.25
    """
    name = "exponential_decay"
    check_values(name, init_value=init_value)
    check_exponential(name, transition_steps, decay_rate, transition_begin, end_value)
    if (is_known(transition_steps) and transition_steps <= 0) or (is_known(decay_rate) and decay_rate == 0):
        return constant_schedule(init_value)
    return FormulaSchedule(
        name, exponential, init_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )


def check_exponential(name: str, steps: Any, rate: Any, begin: Any, end_value: Any) -> None:
    check_number(name, "transition_steps", steps)
    check_number(name, "decay_rate", rate)
    check_number(name, "transition_begin", begin)
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
    init, rate = wide(init_value), wide(decay_rate)
    decays = (jnp.asarray(transition_steps) > 0) & (rate != 0)
    steps, rate = jnp.where(decays, transition_steps, 1), jnp.where(decays, rate, 1.0)
    after = jnp.maximum(count - jnp.maximum(transition_begin, 0), 0)
    whole = after // steps / 1  # on the integers, so that a step never falls one late
    value = init * rate ** wide(jnp.where(staircase, whole, after / steps))
    if end_value is None:
        return value
    bounded = jnp.where(rate < 1, jnp.maximum(value, end_value), jnp.minimum(value, end_value))
    return jnp.where(decays, bounded, value)


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

    Defaults: as in Optax.

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
    _, remaining = elapsed_and_remaining(count, 0, decay_steps, weak=True)
    factor = half_cosine(remaining) ** wide(exponent)
    alpha = wide(alpha)
    return wide(init_value) * ((1 - alpha) * factor + alpha)
