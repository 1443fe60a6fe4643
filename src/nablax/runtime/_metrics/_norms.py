"""Norms of a step: of gradients, updates, and the parameters after it, in as few passes over memory as XLA lets us.

An array that two loops read, XLA's CPU compiler writes down: with a norm of the updates, all of them and their
quotients, in fresh memory that costs more than the step. So an update that is cheap to compute is computed twice, the
second time from arrays that XLA does not know to be the same ones, within the one loop that sums all squares of a leaf.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import jaxpr_as_fun

from nablax import tree
from nablax.core import abs_sq, entrywise_in, under_jit, widened

# An entry of the loop that sums squares adds this many, so few that XLA's compiler unrolls the sum and vectorises over
# entries: 4 would write twice as many sums, and from 16 on the loop is a scalar one.
_TOGETHER = 8
_LARGE = 4096  # entries of a leaf that is worth it


def squares(
    move: Callable[[Any, Any, Any], tuple[Any, Any]],
    given: tuple[Any, Any, Any],
    done: tuple[Any, Any],
    per_leaf: bool = False,
) -> list[list[jax.Array]]:
    """The squared norms of gradients, updates and parameters, a list each.

    Args:
      move: what made the step: `move(grads, state, params)` returns the updates and the parameters after it.
      given: its arguments, of which the gradients and the parameters have one structure.
      done: its results.
      per_leaf: a list has one entry for each leaf of the parameters, 0 where that has no gradient; else the entries
        add up to the square.

    Returns:
      Lists of scalars, at least float32.
    """
    grads, _, params = given
    again = _again(move, given)
    if again is None and not per_leaf:
        return [[x] for x in _apart((grads, *done))]
    # The squares of gradients, too, would be written down where others take them: a second moment, a norm to clip by.
    trees = (grads, *done) if again is None else (lax.optimization_barrier(grads), *again)
    treedef: Any = jax.tree.structure(params)
    rows = zip(*[treedef.flatten_up_to(x) for x in trees], strict=True)
    apart = [_together(row) if again is not None and _alike(row) else _apart(row) for row in rows]
    return [list(column) for column in zip(*apart, strict=True)] or [[], [], []]


def root(parts: Sequence[jax.Array]) -> jax.Array:
    """The norm of what has these squares."""
    dtype = jnp.result_type(jnp.float32, *parts)
    if not parts:
        return jnp.zeros((), dtype)
    return jnp.sqrt(tree.reduce_scalars(operator.add, [x.astype(dtype) for x in parts]))


def _again(move: Any, given: tuple[Any, Any, Any]) -> tuple[Any, Any] | None:
    """The results of a step once more, for reading only; None where that would not be cheaper than to keep them."""
    large = any(x.size >= _LARGE for x in jax.tree.leaves(given[2]) if hasattr(x, "size"))
    # Operation by operation nothing is fused, and Python may decide on values, which a second trace would not have.
    if not (large and under_jit()) or jax.default_backend() != "cpu":
        return None
    closed, shape = jax.make_jaxpr(move, return_shape=True)(*given)
    grads, *rest = map(jax.tree.leaves, given)
    others = [x for leaves in rest for x in leaves]
    watched = [False] * len(grads) + [True] * len(others)
    if closed.effects or entrywise_in(closed.jaxpr, watched, _LARGE) is None:
        return None
    # What gradients alone decide, such as their norm, is the same once more, and computed once.
    hidden = *grads, *lax.optimization_barrier(others)
    results: Any = jax.tree.unflatten(jax.tree.structure(shape), jaxpr_as_fun(closed)(*hidden))
    return results


def _alike(row: Sequence[Any]) -> bool:
    return (
        all(x is not None and jnp.issubdtype(jnp.result_type(x), jnp.inexact) for x in row)
        and len({jnp.shape(x) for x in row}) == 1
        and jnp.size(row[0]) >= _LARGE
        and jnp.size(row[0]) % _TOGETHER == 0
    )


def _apart(row: Sequence[Any]) -> list[jax.Array]:
    with tree.across(None):  # `root` adds those of other devices
        return [tree.norm(x, squared=True) for x in row]


def _together(row: Sequence[Any]) -> list[jax.Array]:
    """The sums of squares of arrays of one shape, in one loop."""
    squared = tuple(abs_sq(widened(x)).reshape(_TOGETHER, -1) for x in row)
    zeros = tuple(jnp.zeros((), x.dtype) for x in squared)
    return [jnp.sum(x) for x in lax.reduce(squared, zeros, _added, (0,))]


def _added(a: Sequence[Any], b: Sequence[Any]) -> tuple[Any, ...]:
    """One function for all leaves: JAX keeps what it traced by it."""
    return tuple(map(operator.add, a, b))
