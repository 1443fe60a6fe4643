"""Bracketing and zooming: how a trial changes the interval that holds an acceptable step.

`bracket` grows steps until one is too long; then an acceptable step lies between it and the one before. `shrink`
cuts that interval down at each trial. Of its ends, `low` is the one with the lower value, and f falls from low
towards high. Both are functions of numbers: the search along a ray never looks at parameters.

Source: Nocedal & Wright 2006, doi:10.1007/978-0-387-40065-5, Algorithms 3.5 and 3.6.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.linesearch._interpolation import next_trial


class Trial(NamedTuple):
    """rate: t. value: f(t). slope: f'(t)."""

    rate: Any
    value: Any
    slope: Any


class Interval(NamedTuple):
    """low, high: its ends, low the better one. third: a trial outside it, for the cubic; NaN until there is one."""

    low: Trial
    high: Trial
    third: Trial


def choose(condition: jax.Array, a: Any, b: Any) -> Any:
    """a where the condition holds, else b, for tuples of numbers."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def bracket(
    previous: Trial, trial: Trial, first: jax.Array, decreases: jax.Array
) -> tuple[Interval, jax.Array]:
    """The interval between the last two trials, and whether it holds an acceptable step."""
    too_long = ~decreases | ((trial.value >= previous.value) & ~first)
    found = too_long | (trial.slope >= 0)
    low, high = choose(too_long, previous, trial), choose(too_long, trial, previous)
    unknown = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), trial)
    return Interval(low, high, unknown), found


def shrink(interval: Interval, trial: Trial, decreases: jax.Array) -> Interval:
    """The part of the interval that, after a trial within it, still holds an acceptable step."""
    low, high, _ = interval
    worse = ~decreases | (trial.value >= low.value)
    rising = trial.slope * (high.rate - low.rate) >= 0  # seen from low: the minimum lies before the trial
    return Interval(
        low=choose(worse, low, trial),
        high=choose(worse, trial, choose(rising, low, high)),
        third=choose(worse | rising, high, low),
    )


def width(interval: Interval) -> jax.Array:
    """|high - low|."""
    return jnp.abs(interval.high.rate - interval.low.rate)


def within(interval: Interval) -> jax.Array:
    """The step to try next."""
    low, high, third = interval
    return next_trial(
        low.rate, low.value, low.slope, high.rate, high.value, third.rate, third.value
    )  # fmt: skip
