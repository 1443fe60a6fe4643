"""The threshold of the Euclidean projection onto a simplex: one number for each vector.

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


@jax.custom_jvp
def simplex_threshold(x: jax.Array, total: Any) -> jax.Array:
    """tau such that max(x - tau, 0) sums to `total` along the last axis.

    Differentiable in both arguments, any number of times.

    Args:
      x: floating, shape (..., n), n >= 1.
      total: s > 0, broadcasts against the result.

    Returns:
      tau, of shape (..., 1) and x's dtype.
    """
    top = jnp.max(x, axis=-1, keepdims=True)
    x = x - jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.broadcast_to(jnp.asarray(total, x.dtype), top.shape)
    n = x.shape[-1]

    def improve(tau: jax.Array) -> tuple[jax.Array, jax.Array]:
        above = x > tau
        count = jnp.sum(above, axis=-1, keepdims=True)
        raised = (jnp.sum(x, axis=-1, keepdims=True, where=above) - total) / jnp.maximum(count, 1)
        return jnp.maximum(tau, raised), count

    def step(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        tau, count, _ = carry
        tau, fewer = improve(tau)
        return tau, fewer, jnp.any(fewer != count)

    # Two lower bounds: one component alone, and all of them, make up the total.
    tau = jnp.maximum(-total, (jnp.sum(x, axis=-1, keepdims=True) - total) / n)
    start = (tau, jnp.full(top.shape, n + 1), jnp.asarray(True))
    tau, _, _ = jax.lax.while_loop(lambda carry: carry[2], step, start)
    return tau + top


@simplex_threshold.defjvp
def _simplex_threshold_jvp(
    primals: tuple[Any, Any], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    """On the support, whose components all move with tau, the sum stays: |S| dtau = sum_S dx - ds."""
    x, total = primals
    dx, dtotal = tangents
    tau = simplex_threshold(x, total)
    support = x > tau
    count = jnp.maximum(jnp.sum(support, axis=-1, keepdims=True), 1).astype(x.dtype)
    moved = jnp.sum(jnp.where(support, dx, 0.0), axis=-1, keepdims=True)
    return tau, (moved - jnp.broadcast_to(jnp.asarray(dtotal, x.dtype), tau.shape)) / count
