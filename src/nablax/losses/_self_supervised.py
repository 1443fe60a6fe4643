"""Losses of embeddings that should lie near each other, or far apart."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import StructureError, check_number

from ._operands import array, axes_of, broadcastable, floating, scalar, wide
from ._regression import unit


def ntxent(embeddings: Any, labels: Any, temperature: Any = 0.07) -> jax.Array:
    """Normalised, temperature-scaled cross entropy of pairs.

        L = mean over pairs i != j of one label of  -log( e_ij / (e_ij + sum over k of other labels e_ik) ),
        e_ij = exp(cos(z_i, z_j) / temperature)

    Args:
      embeddings: z, floating, shape (batch, features). A zero vector has cosine 0 with all.
      labels: shape (batch,); equal labels make a positive pair.
      temperature: > 0; small ones weigh the nearest negatives most.

    Returns:
      Scalar, in the dtype of the embeddings; 0 if there is no positive pair.

    Raises:
      ArgumentError: embeddings are not floating, or the temperature is no number.
      HyperparameterError: a temperature that is not positive.
      StructureError: shapes do not fit.

    Defaults: as in Optax.

    Source: Chen et al. 2020, arXiv:2002.05709.

    >>> import jax.numpy as jnp
    >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> print(f"{ntxent(z, jnp.array([0, 0, 1, 1]), temperature=1.0):.4f}")
    0.5514
    """
    who = "ntxent"
    check_number(who, "temperature", temperature, 0, open_low=True)
    embeddings = floating(who, "embeddings", embeddings)
    labels = array("ntxent", "labels", labels)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise StructureError(
            f"{who}: embeddings must have shape (batch, features) and labels (batch,), "
            f"got {embeddings.shape} and {labels.shape}."
        )
    z = unit(wide(embeddings), (1,), 0.0)
    similar = jnp.matmul(z, z.T, precision=jax.lax.Precision.HIGHEST) / temperature
    same = labels[:, None] == labels[None, :]
    positive = same & ~jnp.eye(len(labels), dtype=bool)
    rest = _log_sum_exp(similar, ~same)
    losses = jax.nn.softplus(rest - similar)  # -log(a / (a + b)) = log(1 + b / a)
    pairs = jnp.sum(positive)
    return (jnp.sum(losses, where=positive) / jnp.maximum(pairs, 1)).astype(embeddings.dtype)


def triplet_margin_loss(
    anchors: Any,
    positives: Any,
    negatives: Any,
    axis: int = -1,
    norm_degree: Any = 2,
    margin: Any = 1.0,
    eps: Any = 1e-6,
) -> jax.Array:
    """How far an anchor is from being nearer to its positive than to its negative, by a margin.

        L = max(d(a, p) - d(a, n) + margin, 0),   d(x, y) = (sum_j |x_j - y_j|^degree + eps)^(1/degree)

    Args:
      anchors, positives, negatives: a, p, n, floating; their shapes broadcast.
      axis: the features.
      norm_degree: degree of the norm; >= 1, infinity for the largest difference.
      margin: >= 0.
      eps: >= 0; keeps the distance differentiable at 0. With 0 its gradient there is 0.

    Returns:
      The losses, of the broadcast shape without `axis`, in the dtype the arguments promote to.

    Raises:
      ArgumentError: an argument is not floating.
      StructureError: shapes do not broadcast, or axis is not theirs.

    Defaults: as in Optax and torch.nn.TripletMarginLoss.

    Source: Balntas et al. 2016, doi:10.5244/C.30.119.

    >>> import jax.numpy as jnp
    >>> a, p, n = jnp.array([0.0, 0.0]), jnp.array([0.0, 1.0]), jnp.array([1.5, 0.0])
    >>> print(f"{triplet_margin_loss(a, p, n):.3f}")
    0.500
    """
    who = "triplet_margin_loss"
    arrays = {"anchors": anchors, "positives": positives, "negatives": negatives}
    a, p, n = (floating(who, name, x) for name, x in arrays.items())
    scalar(who, norm_degree=norm_degree, margin=margin, eps=eps)
    (axis,) = axes_of(who, axis, len(broadcastable(who, **arrays)))

    def distance(x: jax.Array, y: jax.Array) -> jax.Array:
        return _distance(jnp.abs(wide(x) - wide(y)), axis, norm_degree, eps)

    return jnp.maximum(distance(a, p) - distance(a, n) + margin, 0).astype(jnp.result_type(a, p, n))


def _distance(size: jax.Array, axis: int, degree: Any, eps: Any) -> jax.Array:
    if not isinstance(degree, jax.core.Tracer) and degree == jnp.inf:
        return jnp.max(size, axis)
    powers = size**degree
    total = jnp.sum(powers, axis) + eps
    apart = total > 0
    return jnp.where(apart, jnp.where(apart, total, 1.0) ** (1.0 / degree), 0.0)


def _log_sum_exp(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Over the last axis, kept; hugely negative where the mask holds nowhere."""
    lowest = jnp.finfo(x.dtype).min / 4
    return jax.nn.logsumexp(jnp.where(mask, x, lowest), axis=-1, keepdims=True)
