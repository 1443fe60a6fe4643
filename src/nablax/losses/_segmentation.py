"""Losses of overlapping regions: dice and its relatives.

    D_c = 1 - (I_c + smooth) / (I_c + alpha (P_c - I_c) + beta (T_c - I_c) + smooth),
    I_c = sum_i p_ic t_ic,   P_c = sum_i p_ic,   T_c = sum_i t_ic

for class c, predicted probabilities p and targets t of pixels i. alpha = beta = 1/2 is the dice coefficient; other
weights of false positives and false negatives make it Tversky's index.

Source: Milletari et al. 2016, arXiv:1606.04797; Salehi et al. 2017, arXiv:1706.05721.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import FLAG, HyperparameterError, StructureError

from ._operands import array, axes_of, floating, same_shape, scalar, wide


def dice_loss(
    predictions: Any,
    targets: Any,
    *,
    class_weights: Any = None,
    smooth: Any = 1.0,
    alpha: Any = 0.5,
    beta: Any = 0.5,
    apply_softmax: bool = True,
    reduction: str = "mean",
    ignore_background: bool = False,
    axis: int | Sequence[int] | None = None,
) -> jax.Array:
    """Dice loss D_c of each class, reduced over the classes.

    Args:
      predictions: logits, floating, classes last; one class means a binary problem.
      targets: t, one-hot, or binary for one class; of the same shape, but for a last axis of length 1 in one of them.
      class_weights: a factor for the loss of each class, shape (classes,); None for ones.
      smooth: added above and below the line; >= 0. With 0, a class that is neither there nor predicted has loss 0.
      alpha, beta: weights of false positives and of false negatives.
      apply_softmax: whether to turn logits into probabilities, by the softmax, or the sigmoid for one class. If
        not, predictions are taken for probabilities.
      reduction: over the classes: "mean", "sum", or "none".
      ignore_background: whether to leave out class 0, if there are more.
      axis: the pixels' axes; None for all but the first and the last.

    Returns:
      The losses, of the shape left after `axis` and, unless reduction is "none", the classes; in the dtype the
      arguments promote to.

    Raises:
      ArgumentError: predictions are not floating.
      StructureError: shapes differ.
      HyperparameterError: another reduction.

    Defaults: as in Optax: alpha = beta = 0.5 is the Dice coefficient.

    Source: Milletari et al. 2016, arXiv:1606.04797; Salehi et al. 2017, arXiv:1706.05721.

    >>> import jax.numpy as jnp
    >>> p, t = jnp.array([[[1.0, 0.0], [1.0, 0.0]]]), jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> print(dice_loss(p, t, apply_softmax=False, smooth=0.0, reduction="none"))
    [[0.3333333 1. ]]
    """
    who = "dice_loss"
    if reduction not in ("mean", "sum", "none"):
        raise HyperparameterError(f"{who}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
    scalar(who, smooth=smooth, alpha=alpha, beta=beta)
    predictions, targets = array(who, "predictions", predictions), array(who, "targets", targets)
    if predictions.shape == (*targets.shape, 1):
        targets = targets[..., None]
    elif targets.shape == (*predictions.shape, 1):
        predictions = predictions[..., None]
    p, t, dtype = _regions(who, predictions, targets, apply_softmax)
    if p.ndim == 0:
        raise StructureError(f"{who}: predictions must have at least one dimension, got a scalar.")
    pixels = tuple(range(1, p.ndim - 1)) if axis is None else axes_of(who, axis, p.ndim)
    losses = _dice(p, t, pixels, smooth, alpha, beta)
    if class_weights is not None:
        same_shape(
            who, **{"one pixel of predictions": p[(0,) * (p.ndim - 1)], "class_weights": class_weights}
        )
        losses = losses * wide(class_weights)
    if ignore_background and p.shape[-1] > 1:
        losses = losses[..., 1:]
    if reduction != "none":
        losses = jnp.mean(losses, -1) if reduction == "mean" else jnp.sum(losses, -1)
    return losses.astype(dtype)


def binary_dice_loss(
    predictions: Any, targets: Any, *, smooth: Any = 1.0, apply_sigmoid: bool = True
) -> jax.Array:
    """Dice loss of one class.

    Args:
      predictions: logits, floating, shape (batch, ...) or (batch, ..., 1).
      targets: t in {0, 1}, of the same shape; a last axis of length 1 may be there in one and not in the other.
      smooth: added above and below the line; >= 0.
      apply_sigmoid: whether to turn logits into probabilities.

    Returns:
      One loss for each entry of the first axis, in the dtype the arguments promote to.

    Raises:
      ArgumentError: predictions are not floating.
      StructureError: shapes differ.

    Defaults: as in Optax.

    Source: Milletari et al. 2016, arXiv:1606.04797.
    """
    who = "binary_dice_loss"
    scalar(who, smooth=smooth)
    given = array(who, "predictions", predictions), array(who, "targets", targets)
    predictions, targets = (x if x.shape[-1:] == (1,) else x[..., None] for x in given)
    p, t, dtype = _regions(who, predictions, targets, apply_sigmoid)
    pixels = tuple(range(1, p.ndim - 1))
    return _dice(p, t, pixels, smooth, 0.5, 0.5)[..., 0].astype(dtype)


def multiclass_generalized_dice_loss(
    predictions: Any,
    targets: Any,
    *,
    smooth: Any = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
) -> jax.Array:
    """Dice loss whose classes weigh the more the rarer they are in the batch.

        L = mean over batch and classes of w_c D_c,   w_c proportional to 1 / T_c^2, with mean 1 over the classes

    Args:
      predictions: logits, floating, classes last.
      targets: t, one-hot, of the same shape.
      smooth: added above and below the line of D_c; >= 0.
      apply_softmax: whether to turn logits into probabilities.
      ignore_background: whether to leave out class 0, if there are more. The weights count it all the same.

    Returns:
      Scalar, in the dtype the arguments promote to.

    Raises:
      ArgumentError: predictions are not floating.
      StructureError: shapes differ.

    Defaults: as in Optax.

    Source: Sudre et al. 2017, arXiv:1707.03237.
    """
    who = "multiclass_generalized_dice_loss"
    scalar(who, smooth=smooth)
    p, t, dtype = _regions(who, predictions, targets, apply_softmax)
    frequency = jnp.sum(t, tuple(range(t.ndim - 1)))
    weights = 1.0 / (jnp.square(frequency) + _ABSENT)
    weights = weights * (weights.size / jnp.sum(weights))
    losses = _dice(p, t, tuple(range(1, p.ndim - 1)), smooth, 0.5, 0.5) * weights
    if ignore_background and p.shape[-1] > 1:
        losses = losses[..., 1:]
    return jnp.mean(losses).astype(dtype)


_ABSENT = 1e-7  # keeps the weight of a class that is nowhere finite; it then outweighs all others


def _regions(who: str, predictions: Any, targets: Any, activate: bool) -> tuple[jax.Array, jax.Array, Any]:
    FLAG(who, "apply_softmax", activate)
    predictions, targets = floating(who, "predictions", predictions), array(who, "targets", targets)
    same_shape(who, predictions=predictions, targets=targets)
    p, t = wide(predictions), wide(targets)
    if activate and not p.ndim:
        raise StructureError(f"{who}: predictions must have an axis of classes, got a scalar.")
    if activate:
        p = jax.nn.sigmoid(p) if p.shape[-1] == 1 else jax.nn.softmax(p)
    return p, t, jnp.result_type(predictions, targets)


def _dice(
    p: jax.Array, t: jax.Array, pixels: tuple[int, ...], smooth: Any, alpha: Any, beta: Any
) -> jax.Array:
    both, predicted, there = jnp.sum(p * t, pixels), jnp.sum(p, pixels), jnp.sum(t, pixels)
    union = both + alpha * (predicted - both) + beta * (there - both) + smooth
    some = union != 0
    return jnp.where(some, 1 - (both + smooth) / jnp.where(some, union, 1.0), 0.0)
