"""The path of a method, step by step."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import HyperparameterError
from nablax.games._field import Field
from nablax.games._solve import bind, prepare
from nablax.games.methods._method import Method


def trajectory(
    method: Any, field: Any, z0: Any, *, steps: int, batches: Any = None, key: jax.Array | None = None
) -> Any:
    """All points z_0, ..., z_steps, in one compiled scan.

    Args:
      method, field, z0, batches, key: as in `solve`.
      steps: at least 1.

    Returns:
      The structure of z0, every leaf with a leading axis of steps + 1.

    Raises:
      HyperparameterError: steps is no positive integer.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import games
      >>> F = games.operator(lambda z: z)
      >>> games.trajectory(games.methods.simultaneous(0.5), F, jnp.ones(()), steps=2)
      Array([1.  , 0.5 , 0.25], dtype=float32)
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise HyperparameterError(f"games.trajectory: steps must be an integer of at least 1, got {steps!r}.")
    method, field, z = prepare(method, field, z0)
    data, batch_of = (None, batches) if callable(batches) else (batches, None)
    return _scan(z, data, key, method=method, field=field, steps=steps, batch_of=batch_of)


@functools.partial(jax.jit, static_argnames=("method", "field", "steps", "batch_of"))
def _scan(z: Any, batches: Any, key: Any, *, method: Method, field: Field, steps: int, batch_of: Any) -> Any:
    field = method.prepare(field)
    z = field.project(z)

    def body(carry: Any, k: Any) -> Any:
        z, state = carry
        done = method.step(bind(field, k, batches, batch_of, key), z, state)
        new = tree.cast_like(done.z, z)
        return (new, done.state), new

    _, path = lax.scan(body, (z, method.init(field, z)), jnp.arange(steps, dtype=jnp.int32))
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), z, path)
