"""Cross entropies of classes that do not exclude each other: of logits through the sigmoid, elementwise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ._operands import broadcastable, floating, to_dtype, wide


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> jax.Array:
    """Cross entropy of independent binary predictions, elementwise.

        L = -y log p - (1 - y) log(1 - p),   p = sigmoid(x)

    Args:
      logits: x, floating.
      labels: y in [0, 1], numbers that broadcast against x.

    Returns:
      The losses, elementwise, in the dtype of the logits.

    Raises:
      ArgumentError: logits are not floating.
      StructureError: shapes do not broadcast.

    >>> import jax.numpy as jnp
    >>> print(sigmoid_binary_cross_entropy(jnp.array([0.0, 100.0]), jnp.array([1, 1])))
    [0.6931472 0. ]
    """
    who = "sigmoid_binary_cross_entropy"
    logits = floating(who, "logits", logits)
    broadcastable(who, logits=logits, labels=labels)
    return to_dtype(_binary(wide(logits), wide(labels)), logits.dtype)


def sigmoid_focal_loss(logits: Any, labels: Any, *, alpha: Any = None, gamma: Any = 2.0) -> jax.Array:
    """Binary cross entropy that gives less weight to what is already well classified.

        L = alpha_t (1 - p_t)^gamma CE,   p_t = y p + (1 - y)(1 - p),   p = sigmoid(x),
        alpha_t = y alpha + (1 - y)(1 - alpha)

    Args:
      logits: x, floating.
      labels: y in [0, 1], numbers that broadcast against x.
      alpha: weight of the positive class, in [0, 1]; None for no weights.
      gamma: how fast the weight falls; 0 is plain cross entropy.

    Returns:
      The losses, elementwise, in the dtype of the floating arguments.

    Raises:
      ArgumentError: logits are not floating.
      StructureError: shapes do not broadcast.

    Defaults: as in Optax; gamma = 2 is that of the paper, which takes alpha = 0.25.

    Source: Lin et al. 2017, arXiv:1708.02002.
    """
    who = "sigmoid_focal_loss"
    logits = floating(who, "logits", logits)
    broadcastable(who, logits=logits, labels=labels)
    labels = jnp.asarray(labels)
    x, y = wide(logits), wide(labels)
    # 1 - p_t as a sum of two numbers >= 0: no digits cancel. The floor keeps its power differentiable twice at 0.
    missed = y * jax.nn.sigmoid(-x) + (1 - y) * jax.nn.sigmoid(x)
    log_missed = jnp.log(jnp.maximum(missed, 4 * jnp.sqrt(jnp.finfo(missed.dtype).tiny)))
    loss = jnp.exp(gamma * log_missed) * _binary(x, y)
    if alpha is not None:
        loss = loss * (alpha * y + (1 - alpha) * (1 - y))
    return to_dtype(loss, jnp.result_type(logits, labels))


def _binary(x: jax.Array, y: jax.Array) -> jax.Array:
    # Both terms are >= 0 and keep their digits; an infinite logit would give 0 * inf.
    largest = jnp.finfo(x.dtype).max
    x = jnp.clip(x, -largest, largest)
    return y * jax.nn.softplus(-x) + (1 - y) * jax.nn.softplus(x)
