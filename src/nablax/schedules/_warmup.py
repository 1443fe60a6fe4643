"""A linear warm-up, followed by something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import ArgumentError, HyperparameterError, Schedule, check_number

from ._decay import check_exponential, exponential
from ._join import join_schedules
from ._polynomial import constant_schedule
from ._schedule import (
    FormulaSchedule,
    between,
    check_values,
    elapsed_and_remaining,
    half_cosine,
    is_known,
    wide,
)


def warmup_constant_schedule(init_value: Any, peak_value: Any, warmup_steps: Any) -> Schedule:
    """Up to a value in a straight line, and constant from there on.

    Args:
      init_value: f(0), unless there is no warm-up.
      peak_value: f from `warmup_steps` on.
      warmup_steps: updates the warm-up takes. If it is not positive, f is `peak_value` at once.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: an argument is NaN.

    >>> f = warmup_constant_schedule(0.0, 1.0, warmup_steps=2)
    >>> print(f(0), f(1), f(9))
    0.0 0.5 1.0
    """
    name = "warmup_constant_schedule"
    _check_warmup(name, init_value, peak_value, warmup_steps)
    if is_known(warmup_steps) and warmup_steps <= 0:
        return constant_schedule(peak_value)
    return FormulaSchedule(name, _warmup, init_value, peak_value, warmup_steps)


def warmup_cosine_decay_schedule(
    init_value: Any,
    peak_value: Any,
    warmup_steps: Any,
    decay_steps: Any,
    end_value: Any = 0.0,
    exponent: Any = 1.0,
) -> Schedule:
    """Up to a value in a straight line, then down along half a period of a cosine.

        f(t) = init + (peak - init) t / W             for t < W
        f(t) = end + (peak - end) c(t)^exponent       for W <= t < T, and end afterwards
        c(t) = (1 + cos(pi (t - W) / (T - W))) / 2

    Args:
      init_value: f(0), unless there is no warm-up.
      peak_value: f(W).
      warmup_steps: W, updates the warm-up takes. If it is not positive there is none.
      decay_steps: T > W, updates of the whole schedule, warm-up included.
      end_value: f from T on, unless the peak is 0: from there f stays 0.
      exponent: power of the cosine; 1 is the plain one.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: decay_steps <= warmup_steps, or an argument is NaN.

    Defaults: as in Optax.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983; warm-up: Goyal et al. 2017, arXiv:1706.02677.

    >>> f = warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=10, decay_steps=110)
    >>> print(f"{f(5):.2f} {f(10):.2f} {f(60):.2f} {f(110):.2f}")
    0.50 1.00 0.50 0.00
    """
    name = "warmup_cosine_decay_schedule"
    _check_warmup(name, init_value, peak_value, warmup_steps)
    check_values(name, end_value=end_value)
    check_number(name, "decay_steps", decay_steps, single=True)
    check_number(name, "exponent", exponent)
    if not isinstance(decay_steps - warmup_steps, jax.core.Tracer) and decay_steps <= warmup_steps:
        raise HyperparameterError(
            f"{name}: decay_steps, which include the warm-up, must be greater than "
            f"warmup_steps={warmup_steps!r}, got {decay_steps!r}."
        )
    decay = (peak_value, warmup_steps, decay_steps, end_value, exponent)
    if is_known(warmup_steps) and warmup_steps <= 0:
        return FormulaSchedule(name, _cosine, *decay)
    return FormulaSchedule(name, _warmup_cosine, init_value, *decay)


def warmup_exponential_decay_schedule(
    init_value: Any,
    peak_value: Any,
    warmup_steps: Any,
    transition_steps: Any,
    decay_rate: Any,
    transition_begin: Any = 0,
    staircase: bool = False,
    end_value: Any = None,
) -> Schedule:
    """Up to a value in a straight line, then decay by a constant factor every so many steps.

    Args:
      init_value: f(0), unless there is no warm-up.
      peak_value: f(warmup_steps).
      warmup_steps: updates the warm-up takes. If it is not positive there is none.
      transition_steps: updates in which f is multiplied once by `decay_rate`. If it is not positive, f stays at
        `peak_value`.
      decay_rate: the factor. Above 1 the value grows; with 0, f stays at `peak_value`.
      transition_begin: updates between the end of the warm-up and the beginning of the decay; negative ones are 0.
      staircase: whether the exponent is rounded down, so that f falls in steps.
      end_value: a lower bound of the decay if `decay_rate < 1`, otherwise an upper bound. None: no bound.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: an argument is NaN.

    Defaults: as in Optax.

    >>> f = warmup_exponential_decay_schedule(0.0, 1.0, 4, transition_steps=2, decay_rate=0.25)
    >>> print(f(2), f(4), f(6))
    0.5 1.0 0.25
    """
    name = "warmup_exponential_decay_schedule"
    _check_warmup(name, init_value, peak_value, warmup_steps)
    check_exponential(name, transition_steps, decay_rate, transition_begin, end_value)
    return FormulaSchedule(
        name,
        _warmup_exponential,
        init_value,
        peak_value,
        warmup_steps,
        transition_steps,
        decay_rate,
        transition_begin,
        staircase,
        end_value,
    )


def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    """Warm restarts: cycles of warm-up and cosine decay, one after the other.

    Args:
      cosine_kwargs: for each cycle, the arguments of `warmup_cosine_decay_schedule`; its `decay_steps` is the
        length of the cycle.

    Returns:
      Function of the count. Its values are at least float32; it stays at the last cycle's end.

    Raises:
      HyperparameterError: there is no cycle, or a number lies outside its range.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983.

    >>> cycle = dict(init_value=0.0, peak_value=1.0, warmup_steps=2, decay_steps=10)
    >>> f = sgdr_schedule([cycle, cycle])
    >>> print(f(2), f(12))
    1.0 1.0
    """
    cycles = list(cosine_kwargs) if isinstance(cosine_kwargs, Iterable) else [cosine_kwargs]
    for cycle in cycles:
        if not (isinstance(cycle, Mapping) and "decay_steps" in cycle):
            raise ArgumentError(
                "sgdr_schedule: cosine_kwargs must be a list of dicts with the arguments of "
                f"warmup_cosine_decay_schedule, got {type(cycle).__name__}: {cycle!r} in it."[:300]
            )
    if not cycles:
        raise HyperparameterError("sgdr_schedule: cosine_kwargs must hold at least one cycle, got none.")
    boundaries: list[Any] = []
    for cycle in cycles[:-1]:
        boundaries.append(cycle["decay_steps"] + (boundaries[-1] if boundaries else 0))
    schedule: Any = join_schedules([warmup_cosine_decay_schedule(**cycle) for cycle in cycles], boundaries)
    schedule.__name__ = "sgdr_schedule"
    return schedule


def _check_warmup(name: str, init_value: Any, peak_value: Any, warmup_steps: Any) -> None:
    check_values(name, init_value=init_value, peak_value=peak_value)
    check_number(name, "warmup_steps", warmup_steps, single=True)


def _warmup(count: jax.Array, init_value: Any, peak_value: Any, warmup_steps: Any) -> jax.Array:
    return between(init_value, peak_value, *elapsed_and_remaining(count, 0, warmup_steps))


def _warmup_cosine(
    count: jax.Array, init_value: Any, peak_value: Any, warmup_steps: Any, *decay: Any
) -> jax.Array:
    after = _cosine(count, peak_value, warmup_steps, *decay)
    return jnp.where(count < warmup_steps, _warmup(count, init_value, peak_value, warmup_steps), after)


def _cosine(
    count: jax.Array, peak_value: Any, warmup_steps: Any, decay_steps: Any, end_value: Any, exponent: Any
) -> jax.Array:
    _, remaining = elapsed_and_remaining(count, warmup_steps, decay_steps - warmup_steps, weak=True)
    weight = half_cosine(remaining) ** wide(exponent)
    # Between peak and end rather than by end / peak: no division where the peak is traced and may be 0.
    end = jnp.where(jnp.asarray(peak_value) == 0, 0.0, wide(end_value))
    return between(peak_value, end, 1 - weight, weight)


def _warmup_exponential(
    count: jax.Array, init_value: Any, peak_value: Any, warmup_steps: Any, *decay: Any
) -> jax.Array:
    after = exponential(jnp.maximum(count - warmup_steps, 0), peak_value, *decay)
    return jnp.where(count < warmup_steps, _warmup(count, init_value, peak_value, warmup_steps), after)
