"""MeZO: a step of zero-order gradient descent in the memory of a forward pass.

    l+- = f(theta +- sigma z),     theta <- theta - lr (l+ - l-)/(2 sigma) z,     z ~ Normal

The noise z is as long as the parameters. It is never kept: each time that it is needed, it is drawn again
from the key, a block of a few thousand numbers at a time, and the parameters are moved in place (donate them:
`jax.jit(step, donate_argnums=...)`). Moving there and back rounds: parameters that should return come back
within a few units in their last place.

Source: Malladi et al. 2023, arXiv:2305.17333, Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, check_number

from ._checks import as_scores, check_real, check_scalar, positive_int
from ._sampling import as_key

_BLOCK = 1 << 14


class MezoInfo(NamedTuple):
    """What a step saw.

    Attributes:
      value: the mean of the losses evaluated, a scalar.
      slopes: the slope of the loss along each direction, shape (num_samples,); with the key, they are the
        gradient estimate.
    """

    value: jax.Array
    slopes: jax.Array


def mezo(
    fun: Callable[[Any], Any],
    key: jax.Array,
    params: Any,
    learning_rate: Any,
    *,
    sigma: Any = 1e-3,
    num_samples: int = 1,
) -> tuple[Any, MezoInfo]:
    """One step of zero-order gradient descent that holds no second copy of the parameters.

    Args:
      fun: parameters -> scalar loss; only evaluated.
      key: decides the directions; take a new one each step.
      params: tree of real floating arrays; donate it under jit.
      learning_rate: of gradient descent, may be traced.
      sigma: half the distance between the two evaluations along a direction, > 0.
      num_samples: directions, two evaluations each.

    Returns:
      (params after the step, MezoInfo).

    Raises:
      HyperparameterError: sigma or num_samples out of range, a learning rate that is NaN.
      StructureError: fun returns no real scalar, or params are not real floating arrays.

    Defaults: sigma = 1e-3 and one direction a step are those of Malladi et al. 2023, arXiv:2305.17333, Algorithm 1.
    """
    check_number("mezo", "learning_rate", learning_rate)
    params, info = mezo_slopes(fun, key, params, sigma=sigma, num_samples=num_samples)

    def descend(i: jax.Array, moved: Any) -> Any:
        return _move(moved, jax.random.fold_in(key, i), -learning_rate * info.slopes[i] / num_samples)

    return jax.lax.fori_loop(0, num_samples, descend, params), info


def mezo_slopes(
    fun: Callable[[Any], Any], key: jax.Array, params: Any, *, sigma: Any = 1e-3, num_samples: int = 1
) -> tuple[Any, MezoInfo]:
    """The slopes of the loss along random directions: the evaluations of `mezo` without its step.

    Args:
      fun, key, params, sigma, num_samples: as in `mezo`.

    Returns:
      (params moved along and back, MezoInfo). `mezo_gradient` turns the key and the slopes into a gradient.

    Defaults: as in `mezo`.
    """
    num_samples = positive_int("mezo", "num_samples", num_samples)
    FUNCTION("mezo", "fun", fun)
    check_number("mezo", "sigma", sigma, 0, math.inf, open_low=True, open_high=True)
    check_real("mezo", params)
    check_scalar("mezo", jax.eval_shape(fun, params))
    key = as_key(key, "mezo")

    def look(moved: Any, i: jax.Array) -> tuple[Any, jax.Array]:
        # A loop over (there, across, back) keeps one copy: its carry is updated in place.
        direction = jax.random.fold_in(key, i)

        def leg(moved: Any, distance: jax.Array) -> tuple[Any, jax.Array]:
            moved = _move(moved, direction, distance)
            return moved, jnp.asarray(fun(moved), float)

        moved, losses = jax.lax.scan(leg, moved, jnp.asarray(sigma) * jnp.array([1.0, -2.0]))
        return _move(moved, direction, jnp.asarray(sigma, float)), losses

    params, losses = jax.lax.scan(look, jax.tree.map(jnp.asarray, params), jnp.arange(num_samples))
    return params, MezoInfo(jnp.mean(losses), (losses[:, 0] - losses[:, 1]) / (2 * sigma))


def mezo_gradient(key: jax.Array, params: Any, slopes: jax.Array) -> Any:
    """The gradient estimate that the slopes stand for, for the `update` of any optimizer.

    Args:
      key: the key that the slopes were made with.
      params: tree like the parameters; only shapes and dtypes are read.
      slopes: `MezoInfo.slopes`.

    Returns:
      Tree like params: the mean over directions of slope times direction.
    """
    key, slopes = as_key(key, "mezo"), as_scores("mezo_gradient", "slopes", slopes, "(num_samples,)")

    def add(i: jax.Array, total: Any) -> Any:
        return _move(total, jax.random.fold_in(key, i), slopes[i] / slopes.size)

    return jax.lax.fori_loop(0, slopes.size, add, jax.tree.map(jnp.zeros_like, params))


def _move(tree: Any, key: jax.Array, distance: Any) -> Any:
    """tree + distance z, with z drawn from the key block by block, and written in place."""
    leaves, treedef = jax.tree.flatten(tree)
    moved = [_move_leaf(x, jax.random.fold_in(key, n), distance) for n, x in enumerate(leaves)]
    return jax.tree.unflatten(treedef, moved)


def _move_leaf(x: jax.Array, key: jax.Array, distance: Any) -> jax.Array:
    flat = x.reshape(-1)
    blocks, rest = divmod(flat.size, _BLOCK)

    def shifted(part: jax.Array, block: Any) -> jax.Array:
        z = jax.random.normal(
            jax.random.fold_in(key, block), part.shape, jnp.promote_types(part.dtype, jnp.float32)
        )
        return (part + distance * z).astype(part.dtype)

    def step(block: jax.Array, flat: jax.Array) -> jax.Array:
        part = jax.lax.dynamic_slice(flat, (block * _BLOCK,), (_BLOCK,))
        return jax.lax.dynamic_update_slice(flat, shifted(part, block), (block * _BLOCK,))

    if blocks:
        flat = jax.lax.fori_loop(0, blocks, step, flat)
    if rest:
        start = blocks * _BLOCK
        flat = jax.lax.dynamic_update_slice(flat, shifted(flat[start:], blocks), (start,))
    return flat.reshape(x.shape)
