"""Norms and standard deviations, with slope 0 at 0 (see _kinks.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._kinks import abs, inexact, like, root


@like(jnp.std)
def std(a: Any, *args: Any, **options: Any) -> jax.Array:
    return root(jnp.var(a, *args, **options))


@like(jnp.nanstd)
def nanstd(a: Any, *args: Any, **options: Any) -> jax.Array:
    return root(jnp.nanvar(a, *args, **options))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """The norm of a vector, or of a matrix, as numpy.linalg.norm; with slope 0 at 0."""
    x = inexact(x)
    matrix = (isinstance(axis, tuple | list) and len(axis) == 2) or (
        axis is None and ord is not None and x.ndim == 2
    )
    if (ord is None or (matrix and ord == "fro")) or (not matrix and ord == 2):
        return _euclidean(x, axis, keepdims)
    if matrix or (axis is None and x.ndim != 1):
        return jnp.linalg.norm(x, ord, axis, keepdims)
    return _vector_norm(x, ord, axis, keepdims)


@like(jnp.linalg.vector_norm)
def vector_norm(x: Any, /, ord: Any = 2, axis: Any = None, keepdims: bool = False) -> jax.Array:
    return _vector_norm(inexact(x), ord, axis, keepdims)


@like(jnp.linalg.matrix_norm)
def matrix_norm(x: Any, /, ord: Any = "fro", axis: Any = (-2, -1), keepdims: bool = False) -> jax.Array:
    return norm(x, ord, axis, keepdims)


def _vector_norm(x: jax.Array, ord: Any, axis: Any, keepdims: bool) -> jax.Array:
    if ord is None or ord == 2:
        return _euclidean(x, axis, keepdims)
    if ord == jnp.inf:
        return jnp.max(abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return jnp.sum(x != 0, axis=axis, keepdims=keepdims).astype(jnp.real(x).dtype)
    if ord == 1:
        return jnp.sum(abs(x), axis=axis, keepdims=keepdims)
    if ord == -jnp.inf:
        return jnp.min(abs(x), axis=axis, keepdims=keepdims)
    if isinstance(ord, int | float):
        zero = x == 0
        total = jnp.sum(jnp.where(zero, 0, abs(jnp.where(zero, 1, x)) ** ord), axis=axis, keepdims=keepdims)
        none = total == 0 if ord > 0 else jnp.any(zero, axis=axis, keepdims=keepdims)
        return jnp.where(none, 0, jnp.where(none, 1, total) ** (1 / ord))
    return jnp.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _euclidean(x: jax.Array, axis: Any, keepdims: bool) -> jax.Array:
    squares = jnp.square(x) if jnp.isrealobj(x) else jnp.real(x * jnp.conj(x))
    axis = tuple(axis) if isinstance(axis, list) else axis
    return root(jnp.sum(squares, axis=axis, keepdims=keepdims))


NAMED: dict[tuple[str, str], Callable[..., Any]] = {  # namespace, name -> what it is there
    ("numpy", "std"): std, ("numpy", "nanstd"): nanstd, ("numpy.linalg", "norm"): norm,
    ("numpy.linalg", "vector_norm"): vector_norm, ("numpy.linalg", "matrix_norm"): matrix_norm,
}  # fmt: skip
