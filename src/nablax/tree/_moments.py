"""Exponential moving averages of gradients, and their bias correction.

    m_t = decay m_{t-1} + (1 - decay) g_t^order

Computed in at least float32 and returned in the dtype of the moment passed in. Where the update is None the
moment stays what it was.
"""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._casting import at_least_float32
from ._traverse import is_none, map_trees, of_arrays


def _update_leaves(who: str, rule: Callable[[Any, Any], Any], updates: Any, moments: Any) -> Any:
    def one(g: Any, m: Any) -> Any:
        if g is None:
            return m
        if m is None:
            raise ValueError(f"{who}: a leaf has an update, but None for its moment.")
        return rule(g, m)

    return map_trees(who, one, updates, moments, is_leaf=is_none)


def _as_moment(value: Any, moment: Any) -> jax.Array:
    """`value` in the moment's dtype. An integer moment cannot hold an average: it becomes a float."""
    dtype = jnp.result_type(moment)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return value
    if jnp.iscomplexobj(value) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"tree moments: updates are complex, but their moment is {dtype}.")
    return value.astype(dtype)


def _upcast(x: Any) -> Any:
    return x.astype(at_least_float32(x.dtype))


def _full_precision(x: Any) -> Any:
    """A coefficient in at least float32; Python numbers stay Python numbers."""
    if hasattr(x, "dtype"):
        return _upcast(x)
    if not isinstance(x, numbers.Number):
        raise TypeError(f"tree: decay must be a number, got {type(x).__name__}: {x!r}."[:300])
    return x


def _power(order: Any) -> Any:
    """An order, which is a Python number: it decides which program is compiled."""
    if not isinstance(order, numbers.Number):
        raise TypeError(f"tree: order must be a Python number, got {type(order).__name__}: {order!r}."[:300])
    return order


@functools.partial(jax.jit, static_argnames="order")
def _moment_leaf(g: Any, m: Any, decay: Any, complement: Any, order: Any) -> jax.Array:
    return _as_moment(complement * _upcast(g) ** order + decay * _upcast(m), m)


@functools.partial(jax.jit, static_argnames="order")
def _moment_of_norm_leaf(g: Any, m: Any, decay: Any, complement: Any, order: Any) -> jax.Array:
    g = _upcast(g)
    if order % 2 == 0:  # no absolute value needed, so no square root for complex numbers
        squared = g.real**2 + g.imag**2 if jnp.iscomplexobj(g) else g**2
        power = squared ** (int(order) // 2)
    else:
        power = jnp.abs(g) ** order
    return _as_moment(complement * power + decay * _upcast(m), m)


@of_arrays("updates", "moments")
def update_moment(updates: Any, moments: Any, decay: Any, order: Any) -> Any:
    """decay m + (1 - decay) g^order.

    Args:
      updates: g, a tree of arrays.
      moments: m, of the same structure.
      decay: in [0, 1).
      order: the power, a Python number. Complex g is not conjugated: see `update_moment_per_elem_norm`.

    >>> update_moment([jnp.array(2.0)], [jnp.array(1.0)], 0.5, 2)
    [Array(2.5, dtype=float32)]
    """
    # 1 - decay in Python's precision: in float32, 1 - 0.999 is already off by 5e-5.
    decay = _full_precision(decay)
    complement = 1 - decay

    def rule(g: Any, m: Any) -> jax.Array:
        return _moment_leaf(g, m, decay, complement, _power(order))

    return _update_leaves("tree.update_moment", rule, updates, moments)


@of_arrays("updates", "moments")
def update_moment_per_elem_norm(updates: Any, moments: Any, decay: Any, order: Any) -> Any:
    """decay m + (1 - decay) |g|^order: real moments, for complex g too. Arguments as in `update_moment`.

    >>> update_moment_per_elem_norm([jnp.array(3.0 + 4.0j)], [jnp.array(1.0)], 0.5, 2)
    [Array(13., dtype=float32)]
    """
    decay = _full_precision(decay)
    complement = 1 - decay

    def rule(g: Any, m: Any) -> jax.Array:
        return _moment_of_norm_leaf(g, m, decay, complement, _power(order))

    return _update_leaves("tree.update_moment_per_elem_norm", rule, updates, moments)


@jax.jit
def _infinity_leaf(g: Any, m: Any, decay: Any, eps: Any) -> jax.Array:
    return _as_moment(jnp.maximum(jnp.abs(_upcast(g)) + eps, decay * _upcast(m)), m)


@of_arrays("updates", "moments")
def update_infinity_moment(updates: Any, moments: Any, decay: Any, eps: Any) -> Any:
    """max(|g| + eps, decay m), the exponentially weighted infinity norm of Adamax.

    Source: Kingma & Ba 2014, arXiv:1412.6980, section 7.1.

    >>> update_infinity_moment([jnp.array(-1.0)], [jnp.array(4.0)], 0.5, 0.25)
    [Array(2., dtype=float32)]
    """
    decay = _full_precision(decay)

    def rule(g: Any, m: Any) -> jax.Array:
        return _infinity_leaf(g, m, decay, eps)

    return _update_leaves("tree.update_infinity_moment", rule, updates, moments)


@jax.jit
def _divide_leaf(m: Any, correction: Any) -> jax.Array:
    return _as_moment(_upcast(m) / correction, m)


@of_arrays("moment")
def bias_correction(moment: Any, decay: Any, count: Any) -> Any:
    """m / (1 - decay^count), which undoes the pull of the zero that the moment started from.

    Args:
      moment: a tree of averages after `count` updates.
      decay: the decay they were averaged with.
      count: number of updates so far, from 1; at 0 the result is not finite.

    Source: Kingma & Ba 2014, arXiv:1412.6980, section 3.

    >>> bias_correction([jnp.array(0.19)], 0.9, 2)
    [Array(1., dtype=float32)]
    """
    correction = 1 - _full_precision(decay) ** count
    return jax.tree.map(lambda m: _divide_leaf(m, correction), moment)
