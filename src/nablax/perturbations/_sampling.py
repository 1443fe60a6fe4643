"""Drawing samples by their number, and adding them up a few at a time.

Sample i is drawn from `fold_in(key, i)`: it is the same whether it is evaluated alone, in a batch or with all
others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._errors import ArgumentError


def as_key(key: Any, who: str) -> jax.Array:
    """A typed key of a typed or a raw one.

    Raises:
      ArgumentError: `key` is neither.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if jnp.ndim(key) == 0:
            return key
    elif dtype == jnp.uint32 and jnp.ndim(key) == 1:
        return jax.random.wrap_key_data(key)
    raise ArgumentError(
        f"{who}: key must be one key, as jax.random.key(0) makes it, got {type(key).__name__} "
        f"of dtype {dtype} and shape {jnp.shape(key) if dtype is not None else None}."
    )


def draw(
    noise: Any, key: jax.Array, indices: jax.Array, size: int, dtype: Any
) -> tuple[jax.Array, jax.Array]:
    """The samples with these numbers.

    Returns:
      z of shape (len(indices), size), and one random uint32 for each sample.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(indices)
    z = jax.vmap(lambda k: noise.sample(k, (size,), dtype))(keys)
    words = jax.random.key_data(keys)
    return z, words[:, 0] ^ words[:, -1]


def accumulate(
    body: Callable[[jax.Array, jax.Array], Any],
    count: int,
    batch: int | None,
    keep: Callable[..., Any] | None = None,
) -> Any:
    """The sum of body(i) over the samples i = 0 ... count-1.

    Args:
      body: `body(indices, live)` returns a tree of sums over the indices whose `live` is True.
      count: the number of samples.
      batch: how many are evaluated at once; None is all of them. Derivatives evaluate batch by batch again
        instead of remembering, so that memory does not grow with `count` (in whatever order of
        differentiation).
      keep: a policy of `jax.checkpoint` that says what is remembered all the same.
    """
    if batch is None or batch >= count:
        return body(jnp.arange(count), jnp.ones((count,), bool))
    steps = -(-count // batch)

    @functools.partial(jax.checkpoint, policy=keep)
    def one_batch(start: jax.Array) -> Any:
        indices = start + jnp.arange(batch)
        return body(indices, indices < count)

    def step(total: Any, start: jax.Array) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, one_batch(start)), None

    shapes = jax.eval_shape(one_batch, jnp.int32(0))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.scan(step, zeros, jnp.arange(steps) * batch)[0]
