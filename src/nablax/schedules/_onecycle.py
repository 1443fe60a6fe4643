"""One cycle: up to a peak, then down, within a given number of steps.

Source: Smith and Topin 2017, arXiv:1708.07120.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import Schedule, check_number

from ._piecewise import cosine_pieces, linear_pieces
from ._schedule import FormulaSchedule


def linear_onecycle_schedule(
    transition_steps: Any,
    peak_value: Any,
    pct_start: Any = 0.3,
    pct_final: Any = 0.85,
    div_factor: Any = 25.0,
    final_div_factor: Any = 1e4,
) -> Schedule:
    """Three straight lines: up to the peak, back down to the start, and on down to the end.

    With T = transition_steps: f(0) = peak / div_factor, f(pct_start T) = peak, f(pct_final T) = f(0),
    f(T) = f(0) / final_div_factor; the inner two times are rounded down.

    Args:
      transition_steps: T > 0, the length of the cycle in updates.
      peak_value: the largest value.
      pct_start: share of the cycle before the peak, in [0, 1].
      pct_final: share of the cycle before f is back at its first value, in [pct_start, 1].
      div_factor: peak over first value; > 0.
      final_div_factor: first over last value; > 0.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: a number outside its range.

    Defaults: as in Optax; div_factor, final_div_factor and pct_start are those of torch's OneCycleLR.

    Source: Smith and Topin 2017, arXiv:1708.07120.

    >>> f = linear_onecycle_schedule(100, peak_value=1.0)
    >>> print(f"{f(0):.2f} {f(30):.2f} {f(85):.2f}")
    0.04 1.00 0.04
    """
    name = "linear_onecycle_schedule"
    _check_cycle(name, transition_steps, peak_value, pct_start, div_factor, final_div_factor)
    low = 0 if isinstance(pct_start, jax.core.Tracer) else float(pct_start)
    check_number(name, "pct_final", pct_final, low, 1)
    pieces = (
        (_floor(pct_start * transition_steps), div_factor),
        (_floor(pct_final * transition_steps), 1.0 / div_factor),
        (_floor(transition_steps), 1.0 / final_div_factor),
    )
    return FormulaSchedule(name, linear_pieces, peak_value / div_factor, pieces)


def cosine_onecycle_schedule(
    transition_steps: Any,
    peak_value: Any,
    pct_start: Any = 0.3,
    div_factor: Any = 25.0,
    final_div_factor: Any = 1e4,
) -> Schedule:
    """Two half cosines: up to the peak and down to the end.

    With T = transition_steps: f(0) = peak / div_factor, f(pct_start T) = peak (that time rounded down),
    f(T) = f(0) / final_div_factor.

    Args:
      transition_steps: T > 0, the length of the cycle in updates.
      peak_value: the largest value.
      pct_start: share of the cycle before the peak, in [0, 1].
      div_factor: peak over first value; > 0.
      final_div_factor: first over last value; > 0.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: a number outside its range.

    Defaults: as in Optax; div_factor, final_div_factor and pct_start are those of torch's OneCycleLR.

    Source: Smith and Topin 2017, arXiv:1708.07120.

    >>> f = cosine_onecycle_schedule(100, peak_value=1.0)
    >>> print(f"{f(0):.2f} {f(15):.2f} {f(30):.2f}")
    0.04 0.52 1.00
    """
    name = "cosine_onecycle_schedule"
    _check_cycle(name, transition_steps, peak_value, pct_start, div_factor, final_div_factor)
    pieces = (
        (_floor(pct_start * transition_steps), div_factor),
        (_floor(transition_steps), 1.0 / (div_factor * final_div_factor)),
    )
    return FormulaSchedule(name, cosine_pieces, peak_value / div_factor, pieces)


def _check_cycle(name: str, steps: Any, peak: Any, pct_start: Any, div: Any, final_div: Any) -> None:
    check_number(name, "peak_value", peak)
    check_number(name, "pct_start", pct_start, 0, 1)
    for argument, value in {
        "transition_steps": steps,
        "div_factor": div,
        "final_div_factor": final_div,
    }.items():
        check_number(name, argument, value, 0, open_low=True)


def _floor(x: Any) -> Any:
    return jnp.floor(x).astype(int) if isinstance(x, jax.Array) else math.floor(x)
