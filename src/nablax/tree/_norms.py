"""Norms of a tree taken as one long vector.

    ord 2 (or None)   (sum |x_i|^2)^(1/2)
    ord 1              sum |x_i|
    ord inf            max |x_i|

Squares and sums are computed in at least float32 and the norm has that dtype: in bfloat16 a sum stalls at 256
times its increment (3,000 leaves of four ones would have norm 32, not 109.5), and in float16 the square of
300 overflows.
"""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp

from ._casting import at_least_float32
from ._traverse import of_arrays, reduce_scalars


def _abs(x: Any, dtype: Any) -> jax.Array:
    return jnp.abs(x).astype(dtype)


def _abs_squared(x: Any, dtype: Any) -> jax.Array:
    if jnp.iscomplexobj(x):
        re, im = x.real.astype(dtype), x.imag.astype(dtype)
        return re * re + im * im
    x = x.astype(dtype)
    return x * x


@functools.partial(jax.jit, static_argnames="dtype")
def _sum_of_squares(x: Any, dtype: Any) -> jax.Array:
    return jnp.sum(_abs_squared(x, dtype))


@functools.partial(jax.jit, static_argnames="dtype")
def _sum_of_abs(x: Any, dtype: Any) -> jax.Array:
    return jnp.sum(_abs(x, dtype))


@functools.partial(jax.jit, static_argnames="dtype")
def _max_of_abs(x: Any, dtype: Any) -> jax.Array:
    return jnp.max(_abs(x, dtype), initial=0.0)


def norm_dtype(leaves: list[Any]) -> Any:
    """The real dtype, float32 at least, in which a norm of these leaves is computed."""
    dtype = at_least_float32(jnp.result_type(*leaves, float))
    return jnp.finfo(dtype).dtype


@of_arrays("tree")
def norm(tree: Any, ord: int | str | float | None = None, squared: bool = False) -> jax.Array:
    """The norm of all elements, in at least float32 whatever the leaves' dtypes; 0.0 for a tree without any.

    Args:
      tree: real or complex arrays or scalars, of any mixture of dtypes.
      ord: 2 or None, 1, "inf" or infinity.
      squared: return the square instead.

    Returns:
      A scalar: float32, or float64 where a leaf is float64 or complex128.

    Raises:
      ValueError: ord is none of the above.

    >>> norm({"w": jnp.array([3.0, 0.0]), "b": -4.0})
    Array(5., dtype=float32)
    """
    if ord not in (None, 1, 2, "inf", float("inf")):
        raise ValueError(f"tree.norm: ord must be None, 1, 2 or inf, got {ord!r}.")
    leaves = jax.tree.leaves(tree)
    if not leaves:
        return jnp.zeros((), jnp.float32)
    dtype = norm_dtype(leaves)
    if ord in (None, 2):
        total = reduce_scalars(operator.add, [_sum_of_squares(x, dtype) for x in leaves])
        return total if squared else jnp.sqrt(total)
    if ord == 1:
        total = reduce_scalars(operator.add, [_sum_of_abs(x, dtype) for x in leaves])
    else:
        total = reduce_scalars(jax.lax.max, [_max_of_abs(x, dtype) for x in leaves])
    return total * total if squared else total
