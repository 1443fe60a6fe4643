"""Kullback-Leibler divergences between distributions, of which the predicted one is given by its logarithm."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ._operands import Axis, axes_of, broadcastable, keep, mask_like, pair


def kl_divergence(log_predictions: Any, targets: Any, axis: Axis = -1, where: Any = None) -> jax.Array:
    """Relative entropy of targets with respect to predictions.   L = sum_j y_j (log y_j - q_j), 0 log 0 = 0

    Args:
      log_predictions: q, logarithms of probabilities, floating.
      targets: y >= 0, probabilities, floating; broadcasts against q.
      axis: the outcomes: an axis, a tuple of axes, None for all.
      where: which elements count, of the broadcast shape or of the result's.

    Returns:
      The divergences, without `axis`, in the dtype the arguments promote to.

    Raises:
      ArgumentError: an argument is not floating.
      StructureError: shapes do not broadcast.

    Source: Kullback and Leibler 1951, doi:10.1214/aoms/1177729694.

    >>> import jax.numpy as jnp
    >>> print(kl_divergence(jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0])))
    0.6931472
    """
    q, y, mask, axes, dtype = _operands(
        "kl_divergence", axis, where, log_predictions=log_predictions, targets=targets
    )
    return jnp.sum(_relative_entropy(q, y), axes, where=mask).astype(dtype)


def kl_divergence_with_log_targets(
    log_predictions: Any, log_targets: Any, axis: Axis = -1, where: Any = None
) -> jax.Array:
    """`kl_divergence` with targets given by their logarithms.   L = sum_j exp(z_j) (z_j - q_j)

    Args:
      log_predictions: q, logarithms of probabilities, floating.
      log_targets: z, logarithms of probabilities, floating; broadcasts against q. At -inf the term is 0.
      axis: the outcomes: an axis, a tuple of axes, None for all.
      where: which elements count, of the broadcast shape or of the result's.

    Returns:
      The divergences, without `axis`, in the dtype the arguments promote to.

    Raises:
      ArgumentError: an argument is not floating.
      StructureError: shapes do not broadcast.
    """
    who = "kl_divergence_with_log_targets"
    q, z, mask, axes, dtype = _operands(
        who, axis, where, log_predictions=log_predictions, log_targets=log_targets
    )
    none = jnp.isneginf(z)
    difference = jnp.where(none, 0.0, z) - jnp.where(none, 0.0, q)
    return jnp.sum(jnp.exp(z) * difference, axes, where=mask).astype(dtype)


def generalized_kl_divergence(
    log_predictions: Any, targets: Any, axis: Axis = -1, where: Any = None
) -> jax.Array:
    """Relative entropy of measures that need not sum to one.   L = sum_j y_j (log y_j - q_j) + exp(q_j) - y_j

    It is the Bregman divergence of x log x - x; each term is >= 0.

    Args:
      log_predictions: q, logarithms of masses, floating.
      targets: y >= 0, masses, floating; broadcasts against q.
      axis: the outcomes: an axis, a tuple of axes, None for all.
      where: which elements count, of the broadcast shape or of the result's.

    Returns:
      The divergences, without `axis`, in the dtype the arguments promote to.

    Raises:
      ArgumentError: an argument is not floating.
      StructureError: shapes do not broadcast.

    Source: Bregman 1967, doi:10.1016/0041-5553(67)90040-7.
    """
    who = "generalized_kl_divergence"
    q, y, mask, axes, dtype = _operands(who, axis, where, log_predictions=log_predictions, targets=targets)
    terms = _relative_entropy(q, y) + jnp.exp(q) - y
    return jnp.sum(terms, axes, where=mask).astype(dtype)


def _operands(
    who: str, axis: Axis, where: Any, **arrays: Any
) -> tuple[jax.Array, jax.Array, jax.Array | None, tuple[int, ...], Any]:
    q, y, dtype = pair(who, **arrays)
    shape = broadcastable(who, **arrays)
    axes = axes_of(who, axis, len(shape))
    mask = mask_like(who, where, shape, axes)
    q, y = jnp.broadcast_to(q, shape), jnp.broadcast_to(y, shape)
    return keep(mask, q, 0.0), keep(mask, y, 0.0), mask, axes, dtype


def _relative_entropy(q: jax.Array, y: jax.Array) -> jax.Array:
    positive = y > 0
    log_y = jnp.log(jnp.where(positive, y, 1.0))
    # y q at y = 0 keeps its gradient in y, unless q = -inf: the term is 0 then.
    return y * (log_y - jnp.where(~positive & jnp.isneginf(q), 0.0, q))
