"""Value and gradient that the last line search already computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import FUNCTION, ArgumentError, StructureError
from nablax.linesearch._objective import accepted_kwargs


class _SeveralError(StructureError, KeyError):
    """A KeyError, too, as `tree.get` raises and Optax does."""


def value_and_grad_from_state(value_fn: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """Like `jax.value_and_grad`, but takes value and gradient from the state of a line search where they are known.

    The line search must be the last of the chain and `value_fn` the same from step to step: what the state holds is
    then the value and the gradient at the current parameters.

    Args:
      value_fn: `value_fn(params, ...)` returns a scalar.

    Returns:
      A function `(params, *args, state, **kwargs) -> (value, grad)`. It evaluates `value_fn` only where the stored
      value is not finite, as before the first step. Of the keyword arguments, `value_fn` gets those that it names.

    Raises:
      ArgumentError: value_fn is no function; without `state`.
      StructureError: the state holds no value and gradient, or several.

    Example:
      >>> from nablax.linesearch import lbfgs
      >>> from nablax.core import apply_updates
      >>> def f(x):
      ...     return jnp.sum((x - 1.0) ** 2)
      >>> x, tx = jnp.array([3.0, -2.0]), lbfgs()
      >>> state = tx.init(x)
      >>> for _ in range(2):
      ...     value, grad = value_and_grad_from_state(f)(x, state=state)
      ...     updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=f)
      ...     x = apply_updates(x, updates)
      >>> bool(jnp.allclose(x, 1.0))
      True
    """
    FUNCTION("value_and_grad_from_state", "value_fn", value_fn)

    def value_and_grad(params: Any, *args: Any, state: Any = None, **kwargs: Any) -> tuple[Any, Any]:
        if state is None:
            raise ArgumentError("value_and_grad_from_state: call value_and_grad(params, ..., state=state).")
        value, grad = _stored(state)
        known = accepted_kwargs(value_fn, kwargs)

        def compute() -> tuple[Any, Any]:
            v, g = jax.value_and_grad(value_fn)(params, *args, **known)
            return jnp.asarray(v, value.dtype), tree.cast_like(g, grad)

        return lax.cond(jnp.isfinite(value), lambda: (value, grad), compute)

    return value_and_grad


def _stored(state: Any) -> tuple[Any, Any]:
    try:
        value, grad = tree.get(state, "value"), tree.get(state, "grad")
    except KeyError as e:
        raise _SeveralError(
            f"value_and_grad_from_state: the state holds several values or gradients. {e}"
        ) from e
    if value is None or grad is None:
        raise StructureError(
            "value_and_grad_from_state: the state holds no value and gradient. A line search stores them; "
            "scale_by_backtracking_linesearch does with store_grad=True."
        )
    return value, grad
