"""Cross entropies of classes of which one is right: of logits through the softmax. And labels smoothed for them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import StructureError

from ._operands import (
    Axis,
    array,
    axes_of,
    broadcastable,
    check_labels,
    floating,
    integers,
    keep,
    mask_like,
    to_dtype,
    wide,
)


def softmax_cross_entropy(logits: Any, labels: Any, axis: Axis = -1, where: Any = None) -> jax.Array:
    """Cross entropy between a target distribution and the softmax of logits.

        L = -sum_j y_j log p_j,   p = softmax(x)

    A class of logit -inf has p_j = 0; it contributes nothing where y_j = 0.

    Args:
      logits: x, floating, any shape.
      labels: y >= 0, numbers that broadcast against x; one row of logits serves a batch of labels.
      axis: the classes: an axis, a tuple of axes, None for all.
      where: which elements count, of the shape of x or of the result. A slice of which none counts gives 0.

    Returns:
      The losses, of the broadcast shape without `axis`, in the dtype of the floating arguments.

    Raises:
      ArgumentError: logits are not floating.
      StructureError: shapes do not broadcast.

    >>> import jax.numpy as jnp
    >>> print(f"{softmax_cross_entropy(jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])):.4f}")
    1.3133
    """
    who = "softmax_cross_entropy"
    x, y, mask, axes, dtype = _distributions(who, logits, labels, axis, where)
    return to_dtype(jnp.sum(cross_terms(x, y, mask, axes), axes), dtype)


def safe_softmax_cross_entropy(logits: Any, labels: Any) -> jax.Array:
    """`softmax_cross_entropy` over the last axis, with 0 log 0 = 0.

    Kept for those who know the name: `softmax_cross_entropy` follows this convention too.

    Args:
      logits: floating, classes last.
      labels: numbers >= 0 that broadcast against the logits.

    Returns:
      The losses, of the logits' shape without the last axis, in the dtype of the floating arguments.

    Raises:
      ArgumentError: logits are not floating.
      StructureError: shapes do not broadcast.
    """
    x, y, mask, axes, dtype = _distributions("safe_softmax_cross_entropy", logits, labels, -1, None)
    return to_dtype(jnp.sum(cross_terms(x, y, mask, axes), axes), dtype)


def poly_loss_cross_entropy(
    logits: Any, labels: Any, *, epsilon: Any = 2.0, axis: Axis = -1, where: Any = None
) -> jax.Array:
    """Cross entropy whose first term as a polynomial in 1 - p has another weight.

        L = -sum_j y_j log p_j + epsilon sum_j y_j (1 - p_j),   p = softmax(x)

    Args:
      logits: x, floating, any shape.
      labels: y >= 0, numbers that broadcast against x; one row of logits serves a batch of labels.
      epsilon: weight of the first term; the paper's 2 for images, -1 for detection.
      axis: the classes: an axis, a tuple of axes, None for all.
      where: which elements count, of the shape of x or of the result.

    Returns:
      The losses, of the broadcast shape without `axis`, in the dtype of the floating arguments.

    Raises:
      ArgumentError: logits are not floating.
      StructureError: shapes do not broadcast.

    Defaults: as in Optax.

    Source: Leng et al. 2022, arXiv:2204.12511.
    """
    x, y, mask, axes, dtype = _distributions("poly_loss_cross_entropy", logits, labels, axis, where)
    p = jax.nn.softmax(x, axes) if mask is None else jax.nn.softmax(x, axes, where=mask)
    terms = cross_terms(x, y, mask, axes) + epsilon * y * keep(mask, 1 - p, 0.0)
    return to_dtype(jnp.sum(terms, axes), dtype)


def softmax_cross_entropy_with_integer_labels(
    logits: Any, labels: Any, axis: int | tuple[int, ...] = -1, where: Any = None
) -> jax.Array:
    """Cross entropy between one class and the softmax of logits.

        L = -log p_y,   p = softmax(x)

    Args:
      logits: x, floating, any shape.
      labels: y, integers in [0, classes), of the shape of x without `axis`. A label outside the range gives NaN,
        unless `where` leaves it out; `jax.experimental.checkify` reports it.
      axis: the classes: an axis, or a tuple of axes, in which labels are then positions in row-major order.
      where: which elements count, of the shape of x or of the result. A slice of which none counts gives 0.

    Returns:
      The losses, of the labels' shape, in the dtype of the logits.

    Raises:
      ArgumentError: logits are not floating, labels not integers, or axis is None.
      StructureError: shapes do not fit.

    >>> import jax.numpy as jnp
    >>> print(f"{softmax_cross_entropy_with_integer_labels(jnp.array([0.0, 1.0]), jnp.array(1)):.4f}")
    0.3133
    """
    who = "softmax_cross_entropy_with_integer_labels"
    logits = floating(who, "logits", logits)
    labels = integers(who, "labels", labels)
    if axis is None:
        raise StructureError(f"{who}: axis must be an integer or a tuple of integers, got None.")
    axes = axes_of(who, axis, logits.ndim)
    mask = mask_like(who, where, logits.shape, axes)
    x = wide(logits)
    if len(axes) > 1:  # flatten these axes into a last one, row-major in the order given
        x = _flatten_last(x, axes)
        mask = None if mask is None else _flatten_last(mask, axes)
        axes = (x.ndim - 1,)
    (axis,) = axes
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    fits = labels.ndim == len(batch) and all(
        n in (1, size) for n, size in zip(labels.shape, batch, strict=True)
    )
    if not fits:
        raise StructureError(
            f"{who}: labels must have the shape of logits without axis, got logits of shape {logits.shape} and "
            f"labels of shape {labels.shape}."
        )
    labels = jnp.broadcast_to(labels, batch)
    classes = x.shape[axis]
    counts = None if mask is None else jnp.any(mask, axis)
    valid = check_labels(who, labels, classes, counts)
    index = jnp.expand_dims(jnp.clip(labels, 0, classes - 1), axis)
    shifted, log_total = _shift(x, mask, axes)
    chosen = jnp.take_along_axis(shifted, index, axis)
    loss = jnp.where(valid, jnp.squeeze(log_total - chosen, axis), jnp.nan)
    return to_dtype(keep(counts, loss, 0.0), logits.dtype)


def smooth_labels(labels: Any, alpha: Any, *, axis: Axis = -1, where: Any = None) -> jax.Array:
    """Labels moved towards the uniform distribution.   (1 - alpha) y + alpha / classes

    Args:
      labels: y, one-hot or a distribution, floating.
      alpha: how far, in [0, 1].
      axis: the classes: an axis, a tuple of axes, None for all.
      where: which classes are counted, a mask that broadcasts against y.

    Returns:
      The smoothed labels, of y's shape and dtype.

    Raises:
      ArgumentError: labels are not floating.
      StructureError: where does not broadcast.

    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    who = "smooth_labels"
    labels, alpha = floating(who, "labels", labels), array(who, "alpha", alpha)
    axes = axes_of(who, axis, labels.ndim)
    mask = mask_like(who, where, labels.shape, axes)
    ones = jnp.ones(labels.shape, wide(labels).dtype)
    classes = jnp.sum(ones, axes, keepdims=True, where=mask)
    return to_dtype((1 - alpha) * wide(labels) + alpha / jnp.maximum(classes, 1), labels.dtype)


def _distributions(
    who: str, logits: Any, labels: Any, axis: Axis, where: Any
) -> tuple[jax.Array, jax.Array, jax.Array | None, tuple[int, ...], Any]:
    logits = floating(who, "logits", logits)
    labels = array(who, "labels", labels)
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        labels = labels.astype(logits.dtype)
    shape = broadcastable(who, logits=logits, labels=labels)
    axes_of(who, axis, logits.ndim)  # they must be the logits' too
    axes = axes_of(who, axis, len(shape))
    mask = mask_like(who, where, shape, axes)
    x = jnp.broadcast_to(wide(logits), shape)
    return x, keep(mask, wide(labels), 0.0), mask, axes, jnp.result_type(logits, labels)


def _shift(x: jax.Array, mask: jax.Array | None, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """x - max x, and the logarithm of the sum of its exponentials: at least 0. Left-out elements become 0."""
    x = keep(mask, x, 0.0)
    top = jnp.max(x, axes, keepdims=True, initial=-jnp.inf, where=mask)
    shifted = x - jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0.0))
    total = jnp.sum(jnp.exp(keep(mask, shifted, 0.0)), axes, keepdims=True, where=mask)
    return shifted, jnp.log(jnp.where(total > 0, total, 1.0))


def cross_terms(x: jax.Array, y: jax.Array, mask: jax.Array | None, axes: tuple[int, ...]) -> jax.Array:
    """-y log softmax(x), elementwise, with 0 log 0 = 0."""
    shifted, log_total = _shift(x, mask, axes)
    impossible = jnp.isneginf(shifted) & (y == 0)  # 0 log 0 = 0
    return y * (log_total - jnp.where(impossible, 0.0, shifted))


def _flatten_last(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    rest = [i for i in range(x.ndim) if i not in axes]
    moved = jnp.transpose(x, (*rest, *axes))
    return moved.reshape(*moved.shape[: len(rest)], -1)
