"""Numerical pieces that rules are written with: all of them functions of arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._errors import StructureError
from nablax.core._fresh import filled_like
from nablax.core._kinds import ARRAYS, DTYPE, ONE_ARRAY, refusing
from nablax.tree import at_least_float32


def abs_sq(x: Any) -> jax.Array:
    """|x|^2, elementwise: real for complex x.

    Args:
      x: array of a real or complex dtype, any shape.

    Returns:
      Array of x's shape, in the real dtype of x.

    Raises:
      TypeError: x is not an array.
    """
    if not isinstance(x, jax.Array | jnp.ndarray) and not hasattr(x, "dtype"):
        raise TypeError(f"abs_sq: x must be an array, got {type(x).__name__}: {x!r}.")
    x = jnp.asarray(x)
    if jnp.iscomplexobj(x):
        return jnp.square(x.real) + jnp.square(x.imag)
    return x * x


@refusing(count=ONE_ARRAY)
def safe_increment(count: Any) -> jax.Array:
    """count + 1, held at the largest value of its dtype instead of wrapping round.

    Args:
      count: integer or floating scalar array.

    Returns:
      Array of the same shape and dtype.

    Raises:
      StructureError: another dtype.
    """
    count = jnp.asarray(count)
    if not (jnp.issubdtype(count.dtype, jnp.integer) or jnp.issubdtype(count.dtype, jnp.floating)):
        raise StructureError(f"safe_increment: a count is an integer or a float, got {count.dtype}.")
    whole = jnp.issubdtype(count.dtype, jnp.integer)
    top = np.asarray((jnp.iinfo if whole else jnp.finfo)(count.dtype).max, count.dtype)
    if whole:
        return count + jax.lax.convert_element_type(count < top, count.dtype)
    return jnp.where(count < top, count + np.asarray(1, count.dtype), top)


@refusing(x=ONE_ARRAY, min_norm=ONE_ARRAY)
def safe_norm(x: Any, min_norm: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """max(norm of x, min_norm), whose gradient is finite (zero) where the norm is not above min_norm.

    Args:
      x: array.
      min_norm: least value returned, >= 0.
      ord, axis, keepdims: as in jax.numpy.linalg.norm.
    """
    x = jnp.asarray(x)
    if ord is None:  # one pass over x
        squared = jnp.sum(abs_sq(x), axis=axis, keepdims=keepdims)
        below = squared <= jnp.square(min_norm)
        return jnp.where(below, min_norm, jnp.sqrt(jnp.where(below, 1.0, squared)))
    norm = jnp.linalg.norm(x, ord=ord, axis=axis, keepdims=True)
    below = norm <= min_norm
    x = jnp.where(below, jnp.ones_like(x), x)
    squeezed = (
        below if keepdims else (jnp.squeeze(below, axis=axis) if axis is not None else jnp.squeeze(below))
    )
    return jnp.where(squeezed, min_norm, jnp.linalg.norm(x, ord=ord, axis=axis, keepdims=keepdims))


@refusing(x=ONE_ARRAY, min_rms=ONE_ARRAY)
def safe_root_mean_squares(x: Any, min_rms: Any) -> jax.Array:
    """max(root mean square of x, min_rms), with a finite gradient at x = 0.

    Args:
      x: array; an empty one has root mean square 0.
      min_rms: least value returned, >= 0.
    """
    x = jnp.asarray(x)
    mean = jnp.mean(abs_sq(x)) if x.size else jnp.zeros((), at_least_float32(x.dtype)).real
    below = mean <= jnp.square(min_rms)
    return jnp.where(below, min_rms, jnp.sqrt(jnp.where(below, 1.0, mean)))


@refusing(old=ONE_ARRAY, new=ONE_ARRAY, decay=ONE_ARRAY)
def lerp(old: Any, new: Any, decay: Any) -> Any:
    """decay * old + (1 - decay) * new: one step of an exponential moving average."""
    return decay * old + (1 - decay) * new


@refusing(tree=ARRAYS)
def widened(tree: Any) -> Any:
    """A tree with its floating leaves in at least float32; None stays."""

    def leaf(x: Any) -> Any:
        wide = at_least_float32(jnp.result_type(x))
        return x if wide == jnp.result_type(x) else jnp.asarray(x).astype(wide)

    return jax.tree.map(leaf, tree)


@refusing(params=ARRAYS, dtype=DTYPE)
def moment_like(params: Any, dtype: Any = None, fill: float = 0.0) -> Any:
    """A first moment for each leaf, filled with a number.

    Args:
      params: tree of arrays.
      dtype: of the moment; None follows each leaf's own dtype. The moment of a complex leaf stays complex.
      fill: the starting value.
    """

    def leaf(p: Any) -> Any:
        own = dtype
        if own is not None and jnp.issubdtype(jnp.result_type(p), jnp.complexfloating):
            own = jnp.promote_types(own, jnp.complex64)
        return filled_like(p, fill, own)

    return jax.tree.map(leaf, params)


@refusing(params=ARRAYS, dtype=DTYPE)
def wide_moment_like(params: Any, dtype: Any = None, fill: float = 0.0, real: bool = False) -> Any:
    """A statistic for each leaf in at least float32: second moments, accumulators, averages.

    In bfloat16 such a state stands still: 0.999 rounds to 1, and adding 0.001 of something changes nothing.

    Args:
      params: tree of arrays.
      dtype: of the statistic; None takes each leaf's own dtype, bfloat16 and float16 raised to float32.
      fill: the starting value.
      real: hold the real counterpart of a complex dtype.
    """

    def leaf(p: Any) -> Any:
        wide = at_least_float32(jnp.result_type(p)) if dtype is None else dtype
        if real:
            wide = jnp.finfo(wide).dtype if jnp.issubdtype(wide, jnp.inexact) else wide
        return filled_like(p, fill, wide)

    return jax.tree.map(leaf, params)
