"""A branch that runs one side: `lax.cond` under a trace, plain `if` where the condition is known."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

T = TypeVar("T")


def branch(pred: Any, on_true: Callable[[], T], on_false: Callable[[], T]) -> T:
    """on_true() where pred holds, else on_false(); eagerly the other side is neither run nor traced."""
    if isinstance(pred, jax.core.Tracer):
        return lax.cond(pred, on_true, on_false)
    return on_true() if pred else on_false()


class Conditional:
    """Runs a transformation where a condition holds, and keeps its state elsewhere.

    The updates of the other side come in the dtypes of the inner ones, which the inner transformation may have changed.

    Args:
      tx: the inner transformation.
      otherwise: `otherwise(g, dtype)` makes a leaf of the updates where the condition does not hold.
    """

    def __init__(self, tx: Any, otherwise: Callable[[Any, Any], Any]):
        self.tx = tx
        self.otherwise = otherwise
        self._dtypes: dict[Any, Any] = {}

    def update(
        self, pred: Any, updates: Any, state: Any, params: Any, extra: dict[str, Any]
    ) -> tuple[Any, Any]:
        leaves, treedef = jax.tree.flatten(updates)
        kind = (treedef, *(jnp.result_type(x) for x in leaves))

        def inner() -> tuple[Any, Any]:
            new, new_state = self.tx.update(updates, state, params, **extra)
            self._dtypes[kind] = jax.tree.map(jnp.result_type, new)
            return new, new_state

        def outer() -> tuple[Any, Any]:
            if kind not in self._dtypes:  # a trace has been through `inner` by now; eagerly this happens once
                jax.eval_shape(inner)
            return jax.tree.map(self.otherwise, updates, self._dtypes[kind]), state

        return branch(pred, inner, outer)


@functools.partial(jax.jit, static_argnames="dtype")
def zeros_as(g: Any, dtype: Any) -> jax.Array:
    """Zeros of g's shape in another dtype."""
    return jnp.zeros_like(g, dtype=dtype)
