"""What the losses do with their arguments before the mathematics: kinds, shapes, precision.

A loss computes in at least float32 and returns the dtype of its floating arguments, so in float16 or bfloat16 only
the last rounding is coarse. Shapes that do not fit raise StructureError with the function's name and both shapes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import checkify

from nablax.core import ArgumentError, StructureError, check_number

Axis = int | tuple[int, ...] | None


def array(who: str, name: str, x: Any) -> jax.Array:
    """x as an array."""
    try:
        return jnp.asarray(x)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{who}: {name} must be an array of numbers, got {type(x).__name__}: {x!r}."[:300]
        ) from None


def scalar(who: str, **numbers: Any) -> None:
    """Refuses what is no real number, or not one for all entries; traced numbers pass."""
    for name, x in numbers.items():
        if jnp.ndim(array(who, name, x)) != 0:
            raise ArgumentError(f"{who}: {name} must be a number, got an array of shape {jnp.shape(x)}.")
        check_number(who, name, x)


def floating(who: str, name: str, x: Any) -> jax.Array:
    """x as an array, which must be of a real floating dtype."""
    x = array(who, name, x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ArgumentError(f"{who}: {name} must be of a real floating dtype, got {x.dtype}.")
    return x


def integers(who: str, name: str, x: Any) -> jax.Array:
    """x as an array, which must be of an integer dtype."""
    x = array(who, name, x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise ArgumentError(f"{who}: {name} must be of an integer dtype, got {x.dtype}.")
    return x


def wide(x: Any) -> jax.Array:
    """x in at least float32; a weak type stays weak, and integers become weakly typed."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x * 1.0
    return to_dtype(x, jnp.promote_types(x.dtype, jnp.float32))


def to_dtype(x: jax.Array, dtype: Any) -> jax.Array:
    """x in a dtype. Of that dtype already, it keeps its weak type, which `astype` would drop."""
    return x if x.dtype == dtype else x.astype(dtype)


def same_shape(who: str, **arrays: Any) -> None:
    """Refuses arrays of different shapes."""
    shapes = {name: array(who, name, x).shape for name, x in arrays.items()}
    if len(set(shapes.values())) > 1:
        listed = " and ".join(f"{name} of shape {shape}" for name, shape in shapes.items())
        raise StructureError(f"{who}: shapes must be equal, got {listed}.")


def broadcastable(who: str, **arrays: Any) -> tuple[int, ...]:
    """The shape that the arrays broadcast to; refuses arrays that do not."""
    shapes = {name: array(who, name, x).shape for name, x in arrays.items()}
    try:
        return jnp.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = " and ".join(f"{name} of shape {shape}" for name, shape in shapes.items())
        raise StructureError(f"{who}: shapes must broadcast, got {listed}.") from None


def pair(who: str, **arrays: Any) -> tuple[jax.Array, jax.Array, jnp.dtype]:
    """Two floating arrays whose shapes broadcast, in at least float32, and the dtype of the result."""
    first, second = (floating(who, name, x) for name, x in arrays.items())
    broadcastable(who, **arrays)
    return wide(first), wide(second), jnp.result_type(first, second)


def axes_of(who: str, axis: Axis | Sequence[int], ndim: int) -> tuple[int, ...]:
    """The axes meant, each from 0 and none twice; None means all."""
    if axis is None:
        return tuple(range(ndim))
    try:
        axes = tuple(operator.index(a) for a in (axis if isinstance(axis, Sequence) else (axis,)))
    except TypeError:
        raise ArgumentError(
            f"{who}: axis must be an integer, a tuple of integers or None, got {axis!r}."
        ) from None
    for a in axes:
        if not -ndim <= a < ndim:
            raise StructureError(
                f"{who}: axis must lie in [-{ndim}, {ndim}) for {ndim} dimensions, got {axis}."
            )
    axes = tuple(a % ndim for a in axes)
    if len(set(axes)) < len(axes):
        raise StructureError(f"{who}: axis must name no dimension of {ndim} twice, got {axis}.")
    return axes


def mask_like(who: str, where: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> jax.Array | None:
    """`where` as a mask of this shape. It may also have the shape without `axes`: then it takes whole slices."""
    if where is None:
        return None
    mask = jnp.asarray(where, bool)
    if mask.ndim == len(shape) - len(axes) and mask.ndim < len(shape):
        without = tuple(n for i, n in enumerate(shape) if i not in axes)
        if mask.shape == without:
            mask = jnp.expand_dims(mask, axes)
    if broadcastable(who, where=mask, values=jnp.empty(shape, bool)) != shape:
        raise StructureError(f"{who}: where of shape {mask.shape} must broadcast to {shape}.")
    return jnp.broadcast_to(mask, shape)


def keep(mask: jax.Array | None, x: jax.Array, fill: Any) -> jax.Array:
    """x where the mask holds, elsewhere a harmless number: what is left out must not reach the gradients."""
    return x if mask is None else jnp.where(mask, x, fill)


def row_labels(who: str, scores: Any, labels: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Scores in at least float32, classes last; the position of each label, clipped; which labels lie in range."""
    s = wide(floating(who, "scores", scores))
    labels = integers(who, "labels", labels)
    if s.ndim == 0 or labels.shape != s.shape[:-1]:
        raise StructureError(
            f"{who}: labels must have the shape of scores without the classes, got scores of shape {s.shape} "
            f"and labels of shape {labels.shape}."
        )
    classes = s.shape[-1]
    return s, jnp.clip(labels, 0, classes - 1)[..., None], check_labels(who, labels, classes)


def check_labels(who: str, labels: jax.Array, classes: int, mask: jax.Array | None = None) -> jax.Array:
    """Where labels lie in [0, classes). `jax.experimental.checkify` reports the others."""
    valid = (labels >= 0) & (labels < classes)
    counted = valid if mask is None else valid | ~mask
    checkify.debug_check(
        jnp.all(counted),
        f"{who}: labels must lie in [0, {classes}), got {{label}}.",
        label=jnp.where(counted, 0, labels).ravel()[jnp.argmin(counted.ravel())]
        if labels.size
        else jnp.int32(0),
    )
    return valid
