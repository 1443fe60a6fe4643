"""Gradients of single examples: clipping each, and adding noise for differential privacy.

    u = (sum_i g_i min(1, C / |g_i|) + C sigma z) / n,     z ~ N(0, I)

Sources: Abadi et al. 2016, arXiv:1607.00133; McMahan et al. 2018, arXiv:1710.06963.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    FLAG,
    KEY,
    GradientTransformationExtraArgs,
    Params,
    StructureError,
    Updates,
    abs_sq,
    as_array,
    checked,
    fields,
    leafwise,
    number,
    times,
    wrapper,
)
from nablax.transforms._noise import key_of, sum_leaves, wide_like
from nablax.tree import reduce_scalars


@jax.jit
def _squared_norms(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    wide = jnp.promote_types(tree.at_least_float32(x.dtype), jnp.float32)
    return jnp.sum(abs_sq(x.astype(wide)), axis=tuple(range(1, x.ndim)))


@jax.jit
def _factors(squared: jax.Array, bound: Any) -> tuple[jax.Array, jax.Array]:
    """min(1, bound / norm) for each example, and how many of them are less than 1."""
    norm = jnp.sqrt(squared)
    above = norm > bound
    factor = jnp.where(above, bound / jnp.where(above, norm, 1.0), 1.0)
    return factor, jnp.sum(above, dtype=jnp.int32)


@jax.jit
def _weighted_sum(x: Any, factors: jax.Array) -> jax.Array:
    x = jnp.asarray(x)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32
    return jnp.tensordot(factors, x.astype(jnp.promote_types(dtype, jnp.float32)), axes=1).astype(dtype)


def _batch_size(who: str, grads: Any) -> int:
    shapes = [jnp.shape(g) for g in jax.tree.leaves(grads)]
    if any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise StructureError(
            f"{who}: every leaf is a stack of gradients, one an example, along axis 0; got shapes {shapes}."[
                :300
            ]
        )
    return shapes[0][0] if shapes else 0


@checked(l2_norm_clip=number(0, infinite=True))
def per_example_global_norm_clip(grads: Any, l2_norm_clip: Any) -> tuple[Any, jax.Array]:
    """Clips each example's gradient to a norm, taken over all leaves, and sums up the examples.

    Args:
      grads: tree of arrays of shape (examples, ...).
      l2_norm_clip: largest norm of one example's gradient, not negative.

    Returns:
      The sum of the clipped gradients, without the axis of examples, and the number of clipped ones, an int32 scalar.

    Raises:
      StructureError: a leaf has no axis 0, or two differ in its length.

    Source: Abadi et al. 2016, arXiv:1607.00133, Algorithm 1.

    Example:
      >>> per_example_global_norm_clip([jnp.array([[3.0, 4.0], [0.0, 0.5]])], 1.0)
      ([Array([0.6, 1.3], dtype=float32)], Array(1, dtype=int32))
    """
    _batch_size("per_example_global_norm_clip", grads)
    squared = [_squared_norms(g) for g in jax.tree.leaves(grads)]
    if not squared:
        return grads, jnp.zeros((), jnp.int32)
    factors, clipped = _factors(reduce_scalars(operator.add, squared), l2_norm_clip)
    return jax.tree.map(lambda g: _weighted_sum(g, factors), grads), clipped


@checked(global_l2_norm_clip=number(0, infinite=True), uniform=FLAG)
def per_example_layer_norm_clip(
    grads: Any, global_l2_norm_clip: Any, uniform: bool = True
) -> tuple[Any, Any]:
    """Clips each example's gradient leaf by leaf, and sums up the examples.

    The bounds of the leaves are such that the whole gradient has at most norm C:

        C_i = C / sqrt(leaves)        uniform
        C_i = C sqrt(size_i / size)   otherwise

    Args:
      grads: tree of arrays of shape (examples, ...).
      global_l2_norm_clip: C, not negative.
      uniform: which bounds.

    Returns:
      The sums of the clipped gradients, without the axis of examples, and for each leaf the number of clipped ones.

    Raises:
      StructureError: a leaf has no axis 0, or two differ in its length.

    Source: McMahan et al. 2018, arXiv:1710.06963.
    """
    _batch_size("per_example_layer_norm_clip", grads)
    treedef: Any
    leaves, treedef = jax.tree.flatten(grads)
    sizes = [math.prod(jnp.shape(g)[1:]) for g in leaves]
    shares = [1 / len(leaves) if uniform else size / sum(sizes) for size in sizes]
    sums, counts = [], []
    for g, share in zip(leaves, shares, strict=True):
        factors, clipped = _factors(_squared_norms(g), global_l2_norm_clip * math.sqrt(share))
        sums.append(_weighted_sum(g, factors))
        counts.append(clipped)
    return treedef.unflatten(sums), treedef.unflatten(counts)


class DifferentiallyPrivateAggregateState(NamedTuple):
    """rng_key: the key that the next noise comes from."""

    rng_key: Any


def _private(l2_norm_clip: Any, noise_multiplier: Any, examples: Any) -> dict[str, Any]:
    return {"factor": l2_norm_clip * noise_multiplier / examples}


@checked(l2_norm_clip=number(0), noise_multiplier=number(0), key=KEY, seed=KEY)
def differentially_private_aggregate(
    l2_norm_clip: Any, noise_multiplier: Any, key: Any = None, *, seed: int | None = None
) -> GradientTransformationExtraArgs:
    """Makes one private gradient of a stack of gradients, one an example: clipped, averaged, with noise.

    It stands first in a chain, because the others expect one gradient. Clipped gradients are summed with
    noise of standard deviation `l2_norm_clip * noise_multiplier` in every coordinate, and divided by their number.

    Args:
      l2_norm_clip: largest norm of one example's gradient, not negative.
      noise_multiplier: standard deviation of the noise over that norm, not negative.
      key: random key, or an int to make one of; None is 0.
      seed: another name for an int key.

    Raises:
      ArgumentError: both key and seed are given.
      HyperparameterError: a negative number, or one that is not finite.
      StructureError: at `update`, gradients without a common axis of examples.

    Source: Abadi et al. 2016, arXiv:1607.00133, Algorithm 1.

    Example:
      >>> tx = differentially_private_aggregate(1.0, 0.0, key=0)
      >>> per_example = jnp.array([[3.0, 4.0], [0.0, 0.5]])
      >>> tx.update(per_example, tx.init(jnp.zeros(2)))[0]
      Array([0.3 , 0.65], dtype=float32)
    """
    noise = leafwise(
        times, name="noise", scalars=_private, extra=("examples",),
        hyperparams={"l2_norm_clip": l2_norm_clip, "noise_multiplier": noise_multiplier},
    )  # fmt: skip
    rng_key = key_of("differentially_private_aggregate", key, seed)

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        examples = _batch_size("differentially_private_aggregate", updates)
        total, _ = per_example_global_norm_clip(updates, as_array(l2_norm_clip))
        mean = jax.tree.map(lambda g: g / examples, total)
        treedef: Any
        like, treedef = jax.tree.flatten(wide_like(mean))
        next_key, *keys = jax.random.split(state.rng_key, len(like) + 1)
        drawn = [
            jax.random.normal(tree.key_of_part(k, x), x.shape, x.dtype)
            for k, x in zip(keys, like, strict=True)
        ]
        scaled, _ = noise.update(treedef.unflatten(drawn), noise.init(None), examples=examples)
        return sum_leaves(mean, scaled), DifferentiallyPrivateAggregateState(next_key)

    return wrapper(fields(DifferentiallyPrivateAggregateState, rng_key=rng_key), update)
