"""Leaves of a tree on the way to the host and back to where they were: random keys by their data, shardings kept."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_key(x: Any) -> bool:
    """Whether an array, or its shape, holds typed random keys."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def implementation(x: Any) -> str:
    """The name of the generator of typed keys, or of their shape, such as `threefry2x32`."""
    found: list[str] = []
    jax.eval_shape(lambda keys: found.append(str(jax.random.key_impl(keys))), x)
    return found[0]


def to_host(x: Any) -> np.ndarray:
    """A copy of an array as NumPy's; of keys, their data."""
    return np.array(jax.random.key_data(x) if is_key(x) else x)


def shape_of(x: Any) -> tuple[tuple[int, ...], Any]:
    """The shape and dtype of `to_host(x)`."""
    if is_key(x):
        x = jax.eval_shape(jax.random.key_data, x)
    return tuple(x.shape), np.dtype(x.dtype)


class Kept:
    """An array that is kept elsewhere and read when its place is known, by each process the parts that it needs.

    Attributes:
      shape, dtype: of all of it; of keys, those of their data.
    """

    shape: tuple[int, ...]
    dtype: Any

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """All of it, in memory of its own."""
        raise NotImplementedError

    def at(self, sharding: Any) -> jax.Array:
        """A new array that is laid out so."""
        raise NotImplementedError


def key_of(data: Any, generator: str) -> jax.Array:
    """Random keys of their data."""
    return jax.random.wrap_key_data(jnp.asarray(data), impl=generator)


def to_place(host: Any, like: Any) -> Any:
    """An array of the host, copied to where an array of its kind is: its devices and sharding."""
    data = jax.random.key_data(like) if is_key(like) and isinstance(like, jax.Array) else like
    sharding = getattr(data, "sharding", None)
    if sharding is None or not getattr(data, "committed", True):
        new = jnp.array(np.asarray(host))
    elif isinstance(host, Kept):
        new = host.at(sharding)
    else:
        new = jax.device_put(np.array(host), sharding)
    return key_of(new, implementation(like)) if is_key(like) else new
