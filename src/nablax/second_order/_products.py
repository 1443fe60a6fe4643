"""Hessian and Fisher products, and the diagonals of both.

    (H v)_i = sum_j d^2 f / (dx_i dx_j) v_j         forward over reverse: about twice the cost of a gradient
    F_ii    = (d f / dx_i)^2                        observed Fisher information of a negative log-likelihood

Source: Pearlmutter 1994, doi:10.1162/neco.1994.6.1.147.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from nablax.core import FUNCTION, ArgumentError, StructureError, abs_sq


def hessian_product(fun: Callable[..., Any], x: Any, *args: Any) -> Callable[[Any], Any]:
    """The function v -> H v, H the Hessian of `fun(x, *args)` in x; v and H v are trees like x.

    The gradient is linearized once; each product then costs one pass forward.

    Args:
      fun: returns a real scalar.
      x: tree of real arrays.
      *args: further arguments of fun.

    Example:
      >>> product = hessian_product(lambda x: jnp.sum(x**3), jnp.array([1.0, 2.0]))
      >>> product(jnp.ones(2))
      Array([ 6., 12.], dtype=float32)
    """
    FUNCTION("hessian_product", "fun", fun)
    arrays("hessian_product", x=x)
    _, product = jax.linearize(lambda y: jax.grad(fun)(y, *args), x)
    return product


def arrays(who: str, **trees: Any) -> None:
    """Refuses trees that hold anything but numbers and arrays of them."""
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if not jnp.issubdtype(getattr(leaf, "dtype", type(leaf)), jnp.number):
                raise ArgumentError(
                    f"{who}: {name}{jax.tree_util.keystr(path)} must be an array of numbers, got "
                    f"{type(leaf).__name__}: {leaf!r}."[:300]
                )


def _flat(
    who: str, loss: Callable[..., Any], params: Any, inputs: Any, targets: Any, name: str = "loss"
) -> tuple[jax.Array, Any]:
    FUNCTION(who, name, loss)
    arrays(who, params=params)
    x, unravel = ravel_pytree(params)
    return x, lambda y: loss(unravel(y), inputs, targets)


def hvp(loss: Callable[..., Any], v: Any, params: Any, inputs: Any, targets: Any) -> Any:
    """The Hessian of a loss times a vector.

    Args:
      loss: `loss(params, inputs, targets)` returns a scalar.
      v: a tree like params, or flat, in the order of `jax.flatten_util.ravel_pytree(params)`.
      params: tree of arrays.
      inputs, targets: handed to loss.

    Returns:
      H v, a tree like params.

    Raises:
      StructureError: v has neither layout.

    Source: Pearlmutter 1994, doi:10.1162/neco.1994.6.1.147.
    """
    FUNCTION("hvp", "loss", loss)
    arrays("hvp", params=params)
    x, unravel = ravel_pytree(params)
    flat = ravel_pytree(v)[0]
    if flat.shape != x.shape:
        raise StructureError(f"hvp: v must hold as many numbers as params, {x.size}, got {flat.size}.")
    tangent = unravel(flat.astype(x.dtype))
    return jax.jvp(lambda p: jax.grad(loss)(p, inputs, targets), (params,), (tangent,))[1]


def hessian_diag(loss: Callable[..., Any], params: Any, inputs: Any, targets: Any) -> jax.Array:
    """The diagonal of the Hessian of a loss, exactly, by as many products as there are parameters.

    One product is in memory at a time. `hutchinson_diag` estimates it with a few.

    Args:
      loss: `loss(params, inputs, targets)` returns a scalar.
      params: tree of arrays, `size` numbers in all.
      inputs, targets: handed to loss.

    Returns:
      Shape (size,), in the order of `jax.flatten_util.ravel_pytree(params)`.
    """
    x, flat_loss = _flat("hessian_diag", loss, params, inputs, targets)
    product = hessian_product(flat_loss, x)

    def entry(i: jax.Array) -> jax.Array:
        return product(jnp.zeros_like(x).at[i].set(1))[i]

    return lax.map(entry, jnp.arange(x.size))


def fisher_diag(
    negative_log_likelihood: Callable[..., Any], params: Any, inputs: Any, targets: Any
) -> jax.Array:
    """The diagonal of the observed Fisher information of one observation: squares of the gradient.

    For a batch, average it over examples: the square of the mean gradient is something else.

    Args:
      negative_log_likelihood: `fn(params, inputs, targets)` returns a scalar.
      params: tree of arrays, `size` numbers in all.
      inputs, targets: handed to the function.

    Returns:
      Shape (size,), in the order of `jax.flatten_util.ravel_pytree(params)`.
    """
    x, flat_loss = _flat(
        "fisher_diag", negative_log_likelihood, params, inputs, targets, "negative_log_likelihood"
    )
    return abs_sq(jax.grad(flat_loss)(x))
