"""The Euclidean projection of vectors onto a simplex.

    p = max(x - tau, 0),   tau such that sum_i p_i = s

tau is the zero of a convex, decreasing, piecewise linear function, so Newton's method from the left rises to it and
ends after finitely many steps, each of them one pass over the vector: tau' = (sum_{x_i > tau} x_i - s) / #{x_i > tau}.
A handful suffice, where the textbook's sort of the vector costs far more.

Source: Michelot 1986, doi:10.1007/BF00938486; Condat 2016, doi:10.1007/s10107-015-0946-6.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def project_simplex(x: jax.Array, total: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The projection along the last axis, differentiable in both arguments any number of times.

    tau is given from the largest element on, since tau itself would lose the digits of p where x is large.

    Args:
      x: real, floating, shape (..., n), n >= 1.
      total: s >= 0, broadcasts against x's shape without the last axis.

    Returns:
      p, of x's shape; tau - max x and max x, of shape (..., 1); all of x's dtype.
    """
    top = jax.lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    below = x - top
    total = jnp.broadcast_to(jnp.asarray(total).astype(x.dtype), x.shape[:-1])[..., None]
    tau = _threshold(below, total)
    return jnp.maximum(below - tau, 0), tau, top


@jax.custom_jvp
def _threshold(x: jax.Array, total: jax.Array) -> jax.Array:
    """tau, for vectors whose largest element is 0."""
    n = x.shape[-1]

    def step(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        tau, count, _ = carry
        above = x > tau
        fewer = jnp.sum(above, axis=-1, keepdims=True)
        raised = (jnp.sum(x, axis=-1, keepdims=True, where=above) - total) / jnp.maximum(fewer, 1)
        return jnp.maximum(tau, raised), fewer, jnp.any(fewer != count)

    # Two lower bounds: one component alone, and all of them, make up the total.
    start = jnp.maximum(-total, (jnp.sum(x, axis=-1, keepdims=True) - total) / n)
    tau, _, _ = jax.lax.while_loop(
        lambda carry: carry[2], step, (start, jnp.full(start.shape, n + 1), jnp.asarray(True))
    )
    return tau


@_threshold.defjvp
def _threshold_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
    """On the support, whose components all move with tau, the sum stays: |S| dtau = sum_S dx - ds."""
    x, total = primals
    dx, dtotal = tangents
    tau = _threshold(x, total)
    support = x > tau
    count = jnp.maximum(jnp.sum(support, axis=-1, keepdims=True), 1).astype(x.dtype)
    moved = jnp.sum(jnp.where(support, dx, 0.0), axis=-1, keepdims=True)
    return tau, (moved - dtotal) / count
