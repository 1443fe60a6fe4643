"""Drawing samples by their number, and adding them up a few at a time.

Samples are drawn in blocks of about 256 numbers, block b from `fold_in(key, b)`: sample i is the same whether it is
evaluated alone, in a batch or with all others, and a key costs little beside the numbers drawn from it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import ArgumentError

from ._layout import mix
from ._noise import Noise

_BLOCK = 256  # numbers


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
    noise: Any, key: jax.Array, indices: Any, size: int, dtype: Any, pairs: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The samples with these numbers.

    Args:
      noise: the law.
      key: decides all samples.
      indices: consecutive integers of which the first is a multiple of their number; a NumPy array begins with 0.
      size, dtype: of a sample.
      pairs: with the reflection of each, after all of them.

    Returns:
      z of shape (len(indices), size), or of twice that length, and one random uint32 for each sample or pair.
    """
    n, block = len(indices), _block(size)
    if (
        n % block == 0 or block % n == 0 or isinstance(indices, np.ndarray)
    ):  # they begin with a block, or lie in one
        blocks = -(-n // block)
    else:
        blocks = (n + block - 2) // block + 1  # as many as n samples may touch
    # Where NumPy knows the start, XLA need not: it fuses a slice at a known place with the logarithms before it, and
    # the CPU then takes twice as long.
    start = jnp.arange(n)[0] if isinstance(indices, np.ndarray) else indices[0]
    first = start // block

    def draw_block(i: jax.Array) -> tuple[jax.Array, ...]:
        of_block = jax.random.fold_in(key, i)
        if isinstance(noise, Noise):
            return (
                noise.sample_pairs(of_block, block, size, dtype)
                if pairs
                else (noise.sample_rows(of_block, block, size, dtype),)
            )
        z = jax.vmap(lambda k: noise.sample(k, (size,), dtype))(jax.random.split(of_block, block))
        return (z, noise.reflect(z)) if pairs else (z,)

    members = [z.reshape(blocks * block, size) for z in jax.vmap(draw_block)(first + jnp.arange(blocks))]
    if blocks * block > n:
        members = [jax.lax.dynamic_slice_in_dim(z, start - first * block, n) for z in members]
    z = jnp.concatenate(members) if pairs else members[0]
    words, own = jax.random.key_data(key), jnp.sum(members[0][:, :1].astype(jnp.float32), 1)
    own = jax.lax.bitcast_convert_type(own, jnp.uint32)
    return z, mix((words[0] ^ words[-1]) + own + indices.astype(jnp.uint32) * np.uint32(0x9E3779B9))


def _block(size: int) -> int:
    """Samples of a block: a power of two, so that batches of usual sizes hold whole blocks."""
    return 1 << max(0, (_BLOCK // max(size, 1)).bit_length() - 1)


def accumulate(
    body: Callable[[Any, Any], Any],
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
        return body(np.arange(count), np.ones(count, bool))
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
