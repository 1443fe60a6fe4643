"""Random trees, one key a leaf."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ._across import split_over
from ._casting import as_dtype
from ._traverse import of_arrays


def split_key_like(rng_key: jax.Array, target_tree: Any) -> Any:
    """A tree of keys with the structure of `target_tree`, split from one key in the order of the leaves.

    Raises:
      TypeError: rng_key is no random key; so for `random_like`.

    >>> split_key_like(jax.random.key(0), {"w": 1.0, "frozen": None})["w"].shape
    ()
    """
    old = jnp.issubdtype(getattr(rng_key, "dtype", bool), jnp.unsignedinteger)
    if not (old or jnp.issubdtype(getattr(rng_key, "dtype", bool), jax.dtypes.prng_key)):
        raise TypeError(
            f"tree: rng_key must be a random key, such as jax.random.key(0), got {type(rng_key).__name__}: {rng_key!r}."
        )
    leaves = jax.tree.leaves(target_tree)
    return jax.tree.unflatten(jax.tree.structure(target_tree), list(jax.random.split(rng_key, len(leaves))))


@of_arrays("target_tree")
def random_like(
    rng_key: jax.Array,
    target_tree: Any,
    sampler: Callable[..., Any] = jax.random.normal,
    dtype: DTypeLike | None = None,
) -> Any:
    """Random values in the shapes of `target_tree`, independent from leaf to leaf, and within `jax.shard_map` from
    device to device where a leaf is split.

    Args:
      rng_key: the key that all leaves' keys are split from.
      target_tree: arrays, scalars or `jax.ShapeDtypeStruct`s.
      sampler: called with (key, shape, dtype), and with the leaf's sharding where it has a parameter
        `out_sharding`.
      dtype: for all leaves; None is each leaf's own. The sampler has to support it.

    >>> random_like(jax.random.key(0), {"w": jnp.ones(2)}, jax.random.uniform)["w"].shape
    (2,)
    """
    dtype = as_dtype("tree.random_like", dtype)
    takes_sharding = _takes_out_sharding(sampler)

    def one(leaf: Any, key: jax.Array) -> Any:
        shape, leaf_dtype = jnp.shape(leaf), jnp.result_type(leaf) if dtype is None else dtype
        key = key_of_part(key, leaf)
        if takes_sharding and not isinstance(leaf, jax.ShapeDtypeStruct):
            return sampler(key, shape, leaf_dtype, out_sharding=jax.typeof(leaf).sharding)
        return sampler(key, shape, leaf_dtype)

    return jax.tree.map(one, target_tree, split_key_like(rng_key, target_tree))


def key_of_part(key: jax.Array, leaf: Any) -> jax.Array:
    """The key for this device's part of a leaf that `jax.shard_map` has split; of a whole leaf, the key itself.

    Args:
      key: a random key.
      leaf: an array, a scalar or a `jax.ShapeDtypeStruct`.
    """
    for axis in sorted(split_over(leaf)):
        key = jax.random.fold_in(key, jax.lax.axis_index(axis))
    return key


def _takes_out_sharding(sampler: Callable[..., Any]) -> bool:
    try:
        return "out_sharding" in inspect.signature(sampler).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False


def unwrap_random_key_data(input_tree: Any) -> Any:
    """The tree with every `jax.random.key` replaced by its uint32 data, which can be compared and saved."""

    def one(leaf: Any) -> Any:
        is_key = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(leaf) if is_key else leaf

    return jax.tree.map(one, input_tree)
