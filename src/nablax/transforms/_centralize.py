"""Gradient centralization."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from nablax.core import GradientTransformation, checked, leafwise


def _centralize(g: jax.Array) -> jax.Array:
    return g - jnp.mean(g, axis=tuple(range(1, g.ndim)), keepdims=True) if g.ndim > 1 else g


@checked()
def centralize() -> GradientTransformation:
    """Subtracts from each gradient its mean over all axes but the first: u = g - mean(g).

    Vectors and scalars pass untouched. For a dense layer of shape (in, out) the mean runs over the outputs of each
    input. Where rows are no units of one computation, as in an embedding table, leave the leaf out:

      chain(clip(1.0), masked(centralize(), lambda p: {"embedding": False, "layers": True}), scale_by_adam())

    Source: Yong et al. 2020, arXiv:2004.01461.

    Example:
      >>> import jax.numpy as jnp
      >>> centralize().update(jnp.array([[1.0, 3.0], [0.0, 4.0]]), ())[0]
      Array([[-1.,  1.],
             [-2.,  2.]], dtype=float32)
    """
    return leafwise(_centralize)
