"""Losses of a difference, elementwise, and of an angle."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import check_number

from ._operands import (
    Axis,
    axes_of,
    broadcastable,
    floating,
    keep,
    mask_like,
    pair,
    same_shape,
    to_dtype,
    wide,
)


def squared_error(predictions: Any, targets: Any = None) -> jax.Array:
    """Square of the difference, elementwise.   L = (p - y)^2

    Args:
      predictions: p, floating.
      targets: y, of the same shape; None means 0.

    Returns:
      The losses, in the dtype the arguments promote to.

    Raises:
      ArgumentError: predictions are not floating.
      StructureError: shapes differ.
    """
    error, dtype = _difference("squared_error", predictions, targets, exact=True)
    return to_dtype(jnp.square(error), dtype)


def l2_loss(predictions: Any, targets: Any = None) -> jax.Array:
    """Half the square of the difference, elementwise.   L = (p - y)^2 / 2

    Args:
      predictions: p, floating.
      targets: y, of the same shape; None means 0.

    Returns:
      The losses, in the dtype the arguments promote to.

    Raises:
      ArgumentError: predictions are not floating.
      StructureError: shapes differ.
    """
    error, dtype = _difference("l2_loss", predictions, targets, exact=True)
    return to_dtype(0.5 * jnp.square(error), dtype)


def huber_loss(predictions: Any, targets: Any = None, *, delta: Any = 1.0) -> jax.Array:
    """Quadratic near 0, linear away from it, elementwise.

        L = e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond;   e = p - y

    Its gradient is e clipped to [-delta, delta].

    Args:
      predictions: p, floating.
      targets: y, which broadcasts against p; None means 0.
      delta: where the linear part begins; > 0.

    Returns:
      The losses, in the dtype the arguments promote to.

    Raises:
      ArgumentError: predictions are not floating, or delta is no number.
      HyperparameterError: delta is negative.
      StructureError: shapes do not broadcast.

    Defaults: as in Optax and torch.nn.HuberLoss.

    Source: Huber 1964, doi:10.1214/aoms/1177703732.

    >>> import jax.numpy as jnp
    >>> print(huber_loss(jnp.array([0.5, 3.0]), delta=1.0))
    [0.125 2.5 ]
    """
    check_number("huber_loss", "delta", delta, 0)
    error, dtype = _difference("huber_loss", predictions, targets)
    inner = jnp.clip(error, -delta, delta)
    return to_dtype(inner * (error - 0.5 * inner), dtype)


def log_cosh(predictions: Any, targets: Any = None) -> jax.Array:
    """A smooth loss between square and absolute value, elementwise.   L = log cosh(p - y)

    Args:
      predictions: p, floating.
      targets: y, which broadcasts against p; None means 0.

    Returns:
      The losses, in the dtype the arguments promote to; exact to rounding near 0 and far from it.

    Raises:
      ArgumentError: predictions are not floating.
      StructureError: shapes do not broadcast.

    Source: Chen et al. 2019, openreview.net/pdf?id=rkglvsC9Ym.
    """
    error, dtype = _difference("log_cosh", predictions, targets)
    size = jnp.abs(error)
    small = size < 1
    # log(1 + 2 sinh^2(e/2)) has the digits near 0; there the other form is a difference of near-equal numbers.
    near = jnp.log1p(2 * jnp.square(jnp.sinh(0.5 * jnp.where(small, error, 0.0))))
    far = size + jnp.log1p(jnp.exp(-2 * size)) - jnp.log(2.0).astype(size.dtype)
    return to_dtype(jnp.where(small, near, far), dtype)


def cosine_similarity(
    predictions: Any, targets: Any, *, epsilon: Any = 0.0, axis: Axis = -1, where: Any = None
) -> jax.Array:
    """Cosine of the angle between vectors.   <p, y> / (max(|p|, epsilon) max(|y|, epsilon))

    Args:
      predictions: p, floating.
      targets: y, floating; broadcasts against p.
      epsilon: least norm to divide by. With 0, a zero vector has similarity 0, and gradient 0.
      axis: the vectors: an axis, a tuple of axes, None for all.
      where: which elements count, of the broadcast shape or of the result's.

    Returns:
      The similarities, without `axis`, in the dtype the arguments promote to.

    Raises:
      ArgumentError: an argument is not floating.
      StructureError: shapes do not broadcast.

    Defaults: as in Optax.

    >>> import jax.numpy as jnp
    >>> print(cosine_similarity(jnp.array([3.0, 4.0]), jnp.array([0.0, 2.0])))
    0.8
    """
    cosine, dtype = _cosine("cosine_similarity", predictions, targets, epsilon, axis, where)
    return to_dtype(cosine, dtype)


def cosine_distance(
    predictions: Any, targets: Any, *, epsilon: Any = 0.0, axis: Axis = -1, where: Any = None
) -> jax.Array:
    """One minus the cosine of the angle between vectors.

    Args:
      predictions: p, floating.
      targets: y, floating; broadcasts against p.
      epsilon: least norm to divide by. With 0, a zero vector has distance 1 from all others.
      axis: the vectors: an axis, a tuple of axes, None for all.
      where: which elements count, of the broadcast shape or of the result's.

    Returns:
      The distances, without `axis`, in the dtype the arguments promote to.

    Raises:
      ArgumentError: an argument is not floating.
      StructureError: shapes do not broadcast.

    Defaults: as in Optax.
    """
    cosine, dtype = _cosine("cosine_distance", predictions, targets, epsilon, axis, where)
    return to_dtype(1 - cosine, dtype)


def _difference(who: str, predictions: Any, targets: Any, exact: bool = False) -> tuple[jax.Array, Any]:
    predictions = floating(who, "predictions", predictions)
    if targets is None:
        return wide(predictions), predictions.dtype
    (same_shape if exact else broadcastable)(who, predictions=predictions, targets=targets)
    return wide(predictions) - wide(targets), jnp.result_type(predictions, targets)


def _cosine(
    who: str, predictions: Any, targets: Any, epsilon: Any, axis: Axis, where: Any
) -> tuple[jax.Array, Any]:
    """The cosine in at least float32, and the dtype of the result."""
    p, y, dtype = pair(who, predictions=predictions, targets=targets)
    shape = broadcastable(who, predictions=p, targets=y)
    axes = axes_of(who, axis, len(shape))
    mask = mask_like(who, where, shape, axes)
    units = [unit(keep(mask, jnp.broadcast_to(x, shape), 0.0), axes, epsilon) for x in (p, y)]
    return jnp.sum(units[0] * units[1], axes), dtype


def unit(x: jax.Array, axes: tuple[int, ...], epsilon: Any) -> jax.Array:
    """x / max(|x|, epsilon), and 0 where that is 0 / 0. Neither overflows nor underflows in between."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axes, keepdims=True, initial=0.0))
    zero = largest == 0
    scaled = x / jnp.where(zero, 1.0, largest)
    squares = jnp.sum(jnp.square(scaled), axes, keepdims=True)
    norm = jnp.sqrt(jnp.where(zero, 1.0, squares)) * largest
    divisor = jnp.maximum(norm, epsilon)
    nothing = divisor == 0
    return jnp.where(nothing, 0.0, x / jnp.where(nothing, 1.0, divisor))
