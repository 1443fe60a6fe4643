"""Projections onto the simplex and onto balls and spheres, of the tree taken as one vector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import project_simplex

from ._trees import check_real, check_scale, on_vector


def projection_simplex(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree of elements >= 0 that sum to scale.

        p = max(x - tau, 0),   tau such that sum_i p_i = scale

    Args:
      tree: x, a tree of real arrays, taken as one vector.
      scale: >= 0.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree is complex.
      HyperparameterError: scale is negative or NaN.
      StructureError: the tree has no elements.

    Defaults: as in Optax.

    Source: Michelot 1986, doi:10.1007/BF00938486.

    >>> import jax.numpy as jnp
    >>> print(projection_simplex(jnp.array([1.0, 0.5, -1.0])))
    [0.75 0.25 0. ]
    """
    check_scale("projection_simplex", scale)
    check_real("projection_simplex", tree=tree)
    return on_vector("projection_simplex", lambda x: project_simplex(x, scale)[0], tree)


def projection_l1_sphere(tree: Any, scale: Any = 1) -> Any:
    """A nearest tree whose absolute values sum to scale.

        p = sign(x) times the projection of |x| onto the simplex, sign(0) = 1

    Where x has zeros there may be several nearest ones; this is one of them.

    Args:
      tree: x, a tree of real arrays, taken as one vector.
      scale: >= 0.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree is complex.
      HyperparameterError: scale is negative or NaN.
      StructureError: the tree has no elements.

    Defaults: as in Optax.
    """
    check_scale("projection_l1_sphere", scale)
    check_real("projection_l1_sphere", tree=tree)
    return on_vector("projection_l1_sphere", lambda x: _l1_sphere(x, scale), tree)


def projection_l1_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree whose absolute values sum to at most scale.

    Args:
      tree: x, a tree of real arrays, taken as one vector.
      scale: >= 0.

    Returns:
      p, a tree like x.

    Raises:
      ArgumentError: the tree is complex.
      HyperparameterError: scale is negative or NaN.
      StructureError: the tree has no elements.

    Defaults: as in Optax.

    Source: Duchi et al. 2008, doi:10.1145/1390156.1390191.

    >>> import jax.numpy as jnp
    >>> print(projection_l1_ball(jnp.array([1.0, -0.5])))
    [ 0.75 -0.25]
    """
    check_scale("projection_l1_ball", scale)
    check_real("projection_l1_ball", tree=tree)

    def project(x: jax.Array) -> jax.Array:
        return jnp.where(jnp.sum(jnp.abs(x)) <= scale, x, _l1_sphere(x, scale))

    return on_vector("projection_l1_ball", project, tree)


def projection_l2_sphere(tree: Any, scale: Any = 1) -> Any:
    """A nearest tree of Euclidean norm scale.   p = scale x / |x|

    At x = 0 all trees of that norm are equally near; the one with equal elements is returned, with gradient 0.

    Args:
      tree: x, a tree of real or complex arrays, taken as one vector.
      scale: >= 0.

    Returns:
      p, a tree like x.

    Raises:
      HyperparameterError: scale is negative or NaN.
      StructureError: the tree has no elements.

    Defaults: as in Optax.

    >>> import jax.numpy as jnp
    >>> print(projection_l2_sphere({"a": jnp.array(3.0), "b": jnp.array(4.0)}, scale=10.0)["b"])
    8.0
    """
    check_scale("projection_l2_sphere", scale)
    return on_vector("projection_l2_sphere", lambda x: _l2_sphere(x, scale)[0], tree)


def projection_l2_ball(tree: Any, scale: Any = 1) -> Any:
    """The nearest tree of Euclidean norm at most scale.   p = x min(1, scale / |x|)

    Args:
      tree: x, a tree of real or complex arrays, taken as one vector.
      scale: >= 0.

    Returns:
      p, a tree like x.

    Raises:
      HyperparameterError: scale is negative or NaN.
      StructureError: the tree has no elements.

    Defaults: as in Optax.
    """
    check_scale("projection_l2_ball", scale)

    def project(x: jax.Array) -> jax.Array:
        on_sphere, norm = _l2_sphere(x, scale)
        return jnp.where(norm <= scale, x, on_sphere)

    return on_vector("projection_l2_ball", project, tree)


def _l1_sphere(x: jax.Array, scale: Any) -> jax.Array:
    sign = jnp.where(x < 0, -1, 1).astype(x.dtype)
    return sign * project_simplex(sign * x, scale)[0]


def _l2_sphere(x: jax.Array, scale: Any) -> tuple[jax.Array, jax.Array]:
    """The point on the sphere, and the norm of x. Squares neither overflow nor underflow."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
    zero = largest == 0
    scaled = jnp.where(zero, jnp.ones_like(x), x / jnp.where(zero, 1, largest))
    length = jnp.sqrt(jnp.sum(jnp.square(jnp.abs(scaled))))
    return scale * scaled / length, length * largest
