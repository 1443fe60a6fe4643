"""`scale_gradient`: the identity, with another derivative."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import ANY_ARRAYS, ARRAYS


@jax.custom_jvp
def _identity(x: Any, scale: Any) -> Any:
    del scale
    return x


@_identity.defjvp
def _scaled(primals: Any, tangents: Any) -> Any:
    (x, scale), (x_dot, _) = primals, tangents
    # Where the scale is 0, a NaN that comes back must not go on.
    return x, jnp.where(scale == 0, 0, scale * x_dot).astype(x_dot.dtype)


def scale_gradient(inputs: Any, scale: Any) -> Any:
    """The inputs as they are; gradients that flow back through them are multiplied by a number.

    Args:
      inputs: tree of arrays.
      scale: factor on derivatives, in reverse and in forward mode; 0 stops them, NaNs too. It has no gradient itself.

    Example:
      >>> jax.grad(lambda x: scale_gradient(x, 0.5) ** 2)(3.0)
      Array(3., dtype=float32, weak_type=True)
    """
    ANY_ARRAYS("scale_gradient", "inputs", inputs)
    ARRAYS("scale_gradient", "scale", scale)
    return jax.tree.map(lambda x: _identity(jnp.asarray(x), scale), inputs)
