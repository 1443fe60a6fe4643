"""Fenchel-Young losses, and the sparsemax losses, which belong to them.

    L(s, y) = Omega*(s) + Omega(y) - <s, y>,   Omega*(s) = max_p <s, p> - Omega(p)

Its gradient in s is the maximiser p minus y.
Source: Blondel, Martins and Niculae 2020, arXiv:1901.02324.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, project_simplex

from ._operands import broadcastable, row_labels, wide


def make_fenchel_young_loss(max_fun: Callable[..., Any]) -> Callable[..., jax.Array]:
    """The Fenchel-Young loss of a maximum Omega*, up to the constant Omega(y).   L(s, y) = Omega*(s) - <s, y>

    Args:
      max_fun: Omega*, from a vector to a scalar, differentiable; `jax.scipy.special.logsumexp`, for one.

    Returns:
      `loss(scores, targets, *args, **kwargs)`. The last axis holds the vectors; the axes before it broadcast.
      Further arguments go to `max_fun`.

    Raises:
      ArgumentError: max_fun is no function.
      StructureError: by the loss, when shapes do not broadcast.

    Source: Blondel, Martins and Niculae 2020, arXiv:1901.02324, proposition 3.

    >>> import jax, jax.numpy as jnp
    >>> loss = make_fenchel_young_loss(jax.scipy.special.logsumexp)
    >>> print(f"{loss(jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])):.4f}")
    1.3133
    """

    FUNCTION("make_fenchel_young_loss", "max_fun", max_fun)

    def fenchel_young_loss(scores: Any, targets: Any, *args: Any, **kwargs: Any) -> jax.Array:
        scores, targets = jnp.asarray(scores), jnp.asarray(targets)
        broadcastable("fenchel_young_loss", scores=scores, targets=targets)
        s = wide(scores)
        maximum = jnp.vectorize(lambda vector: max_fun(vector, *args, **kwargs), signature="(n)->()")(s)
        loss = maximum - jnp.sum(s * wide(targets), axis=-1)
        return loss.astype(jnp.result_type(scores, targets))

    return fenchel_young_loss


def sparsemax_loss(logits: Any, labels: Any) -> jax.Array:
    """Binary sparsemax loss, elementwise: a hinge loss with a rounded corner.

        L = 0 for z >= 1, (1 - z)^2 / 4 for |z| <= 1, -z for z <= -1;   z = (2 y - 1) x

    Args:
      logits: x, numbers.
      labels: y in {0, 1}, numbers that broadcast against x.

    Returns:
      The losses, in the dtype of the floating arguments; float32 where there are none.

    Raises:
      StructureError: shapes do not broadcast.

    Source: Blondel, Martins and Niculae 2020, arXiv:1901.02324, section 4.4.
    """
    broadcastable("sparsemax_loss", logits=logits, labels=labels)
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    z = wide(logits) * (2 * wide(labels) - 1)
    inner = jnp.clip(z, -1, 1)
    loss = jnp.square(1 - inner) / 4 + (inner - jnp.minimum(z, inner))
    dtype = jnp.result_type(logits, labels)
    return loss.astype(dtype if jnp.issubdtype(dtype, jnp.floating) else loss.dtype)


def multiclass_sparsemax_loss(scores: Any, labels: Any) -> jax.Array:
    """Sparsemax loss: the Fenchel-Young loss of half the squared norm on the simplex.

        L = <s, p> - |p|^2 / 2 - s_y + 1 / 2,   p = sparsemax(s), the projection of s onto the simplex

    Its gradient is p minus the one-hot label: sparse.

    Args:
      scores: s, floating, classes last.
      labels: y, integers in [0, classes), of the shape of s without the classes. A label outside the range gives
        NaN; `jax.experimental.checkify` reports it.

    Returns:
      The losses, of the labels' shape, in at least float32.

    Raises:
      ArgumentError: scores are not floating, or labels not integers.
      StructureError: shapes do not fit.

    Source: Martins and Astudillo 2016, arXiv:1602.02068.

    >>> import jax.numpy as jnp
    >>> print(multiclass_sparsemax_loss(jnp.array([[2.0, 0.0, 0.0]]), jnp.array([0])))
    [0.]
    """
    s, index, valid = row_labels("multiclass_sparsemax_loss", scores, labels)
    s = s - jnp.take_along_axis(s, index, -1)  # so that s_y = 0
    p, tau, top = project_simplex(s, 1.0)
    # On the support s = p + tau + top, and p sums to 1:  <s, p> - |p|^2 / 2 = |p|^2 / 2 + tau + top.
    loss = 0.5 * jnp.sum(jnp.square(p), axis=-1) + tau[..., 0] + top[..., 0] + 0.5
    return jnp.where(valid, loss, jnp.nan)
