"""Values that change at given counts: in jumps, or interpolated between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from nablax.core import ArgumentError, HyperparameterError, Schedule, check_number

from ._polynomial import constant_schedule
from ._schedule import FormulaSchedule, between, check_values, half_cosine, wide

Pieces: TypeAlias = Sequence[tuple[Any, Any]]


def piecewise_constant_schedule(
    init_value: Any, boundaries_and_scales: Mapping[int, Any] | None = None
) -> Schedule:
    """A value that is multiplied by a factor at each boundary.

        f(t) = init * product of scale_i over the boundaries b_i <= t

    Args:
      init_value: f before the first boundary.
      boundaries_and_scales: the factor, >= 0, at each boundary; None means no boundary.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: a factor is negative, or any number is NaN.

    >>> f = piecewise_constant_schedule(1.0, {2: 0.5, 4: 0.5})
    >>> print(f(1), f(2), f(4))
    1.0 0.5 0.25
    """
    name = "piecewise_constant_schedule"
    pieces = _sorted_pieces(name, init_value, boundaries_and_scales)
    return FormulaSchedule(name, _jumps, init_value, pieces) if pieces else constant_schedule(init_value)


def _jumps(count: jax.Array, init_value: Any, pieces: Pieces) -> jax.Array:
    value = wide(init_value)
    for boundary, scale in pieces:  # one by one: a vector of Python's numbers would not be weakly typed
        value = jnp.where(count >= boundary, value * wide(scale), value)
    return value


def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: Any, boundaries_and_scales: Mapping[int, Any] | None = None
) -> Schedule:
    """A curve through values given at boundaries.

        v_0 = init at count 0, v_i = scale_i v_{i-1} at b_i;   f(t) = v_i + (v_{i+1} - v_i) x, with
        x = (t - b_i) / (b_{i+1} - b_i), or (1 - cos(pi x)) / 2 in its place;   f stays at the last value

    Args:
      interpolate_type: "linear" or "cosine".
      init_value: f(0), a scalar.
      boundaries_and_scales: at each boundary, the factor, >= 0, to the value at the boundary before; None for none.

    Returns:
      Function of the count. Its values are at least float32.

    Raises:
      HyperparameterError: another interpolate_type; a factor is negative, or any number is NaN.

    >>> f = piecewise_interpolate_schedule("linear", 1.0, {4: 0.5, 8: 0.0})
    >>> print(f(2), f(4), f(6), f(9))
    0.75 0.5 0.25 0.0
    """
    name = "piecewise_interpolate_schedule"
    if interpolate_type not in ("linear", "cosine"):
        raise HyperparameterError(
            f"{name}: interpolate_type must be 'linear' or 'cosine', got {interpolate_type!r}."
        )
    pieces = _sorted_pieces(name, init_value, boundaries_and_scales)
    formula = linear_pieces if interpolate_type == "linear" else cosine_pieces
    return FormulaSchedule(name, formula, init_value, pieces)


def linear_pieces(count: jax.Array, init_value: Any, pieces: Pieces) -> jax.Array:
    """Straight lines through the values at the boundaries."""
    return _interpolate(count, init_value, pieces, lambda elapsed, remaining: (elapsed, remaining))


def cosine_pieces(count: jax.Array, init_value: Any, pieces: Pieces) -> jax.Array:
    """Half periods of a cosine through the values at the boundaries."""
    return _interpolate(
        count, init_value, pieces, lambda elapsed, remaining: (half_cosine(elapsed), half_cosine(remaining))
    )


def _interpolate(count: jax.Array, init_value: Any, pieces: Pieces, weights: Any) -> jax.Array:
    values = jnp.cumprod(jnp.stack([wide(init_value), *(wide(s) for _, s in pieces)]))
    times = jnp.stack([jnp.asarray(0), *(jnp.asarray(b) for b, _ in pieces)])
    # The last boundary passed; the next one lies ahead, so an interval of no length is never divided by.
    left = jnp.sum(count[..., None] >= times[1:], axis=-1)
    right = jnp.minimum(left + 1, len(times) - 1)
    inside = right > left
    length = jnp.where(inside, times[right] - times[left], 1)
    elapsed = jnp.where(inside, wide((count - times[left]) / length), 0.0)
    remaining = jnp.where(inside, wide((times[right] - count) / length), 1.0)
    return between(values[left], values[right], *weights(elapsed, remaining))


def _sorted_pieces(name: str, init_value: Any, pieces: Mapping[int, Any] | None) -> Pieces:
    """Pairs of a boundary and its factor, in rising order."""
    check_values(name, init_value=init_value)
    if not isinstance(pieces, Mapping | None):
        raise ArgumentError(
            f"{name}: boundaries_and_scales must be a dict of a boundary's factors or None, got "
            f"{type(pieces).__name__}: {pieces!r}."[:300]
        )
    for boundary, scale in (pieces or {}).items():
        check_number(name, "boundaries_and_scales: a boundary", boundary)
        check_number(name, f"boundaries_and_scales: the scale at {boundary}", scale, 0)
    return sorted((pieces or {}).items(), key=lambda item: item[0])
