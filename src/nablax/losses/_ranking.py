"""Losses of lists of items, to be ordered by relevance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import StructureError

from ._operands import array, broadcastable, floating, keep, mask_like, wide
from ._softmax import cross_terms


def ranking_softmax_loss(
    logits: Any,
    labels: Any,
    *,
    where: Any = None,
    weights: Any = None,
    reduce_fn: Callable[..., Any] | None = jnp.mean,
) -> jax.Array:
    """Cross entropy between the relevance of items and the softmax of their scores.

        L = -sum_i w_i y_i log p_i,   p = softmax(s) over the items that count

    Args:
      logits: s, floating, items last.
      labels: y >= 0, the relevance of each item; broadcasts against s.
      where: which items count, a mask that broadcasts against s.
      weights: w, of each item; broadcasts against s.
      reduce_fn: how the lists are reduced, such as `jax.numpy.mean` or `jax.numpy.sum`; None keeps them. With
        `where` it is called with a mask of the lists of which some item counts.

    Returns:
      What reduce_fn returns, a scalar or one number a list, in the dtype of the logits and labels. 0 if no list
      has an item that counts.

    Raises:
      ArgumentError: logits are not floating.
      StructureError: shapes do not broadcast.

    Source: Bruch et al. 2019, doi:10.1145/3341981.3344221.

    >>> import jax.numpy as jnp
    >>> scores, relevance = jnp.array([2.0, 1.0, 3.0]), jnp.array([1.0, 0.0, 0.0])
    >>> print(f"{ranking_softmax_loss(scores, relevance):.6f}")
    1.407606
    """
    who = "ranking_softmax_loss"
    logits = floating(who, "logits", logits)
    labels = array("ranking_softmax_loss", "labels", labels)
    arrays = {"logits": logits, "labels": labels} | ({} if weights is None else {"weights": weights})
    shape = broadcastable(who, **arrays)
    if not shape:
        raise StructureError(f"{who}: logits must have an axis of items, got a scalar.")
    mask = mask_like(who, where, shape, ())
    y = wide(labels if weights is None else wide(labels) * jnp.asarray(weights))
    y = keep(mask, jnp.broadcast_to(y, shape).astype(wide(logits).dtype), 0.0)
    axes = (len(shape) - 1,)
    losses = jnp.sum(cross_terms(jnp.broadcast_to(wide(logits), shape), y, mask, axes), -1)
    dtype = jnp.result_type(logits, labels)
    if reduce_fn is None:
        return losses.astype(dtype)
    if mask is None:
        return jnp.asarray(reduce_fn(losses)).astype(dtype)
    counted = jnp.any(mask, -1)
    reduced = jnp.asarray(reduce_fn(losses, where=counted))
    return jnp.where(jnp.any(counted), reduced, 0.0).astype(dtype)
