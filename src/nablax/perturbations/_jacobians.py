"""Gradients of E f(x), x ~ p(x; params), in the distribution's parameters: one Jacobian a parameter, one row
a sample.

    score function     f(x_i) grad log p(x_i; params)
    pathwise           grad f(x(params, noise_i))
    measure valued     (f(mu + s W_i) - f(mu - s W_i)) / (s sqrt(2 pi)) for a normal mean, W ~ Rayleigh,
    coordinate by coordinate

The mean over the rows is an unbiased gradient, their spread its noise.

Source: Mohamed, Rosca, Figurnov & Mnih 2020, arXiv:1906.10652, sections 4 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, ITERABLE, ArgumentError

from ._checks import positive_int
from ._distributions import draw_samples, mean_and_std, total_log_prob

Function = Callable[[jax.Array], jax.Array]
DistBuilder = Callable[..., Any]


def score_function_jacobians(
    function: Function, params: Sequence[Any], dist_builder: DistBuilder, rng: jax.Array, num_samples: int
) -> tuple[Any, ...]:
    """The likelihood-ratio (REINFORCE) estimates: f need not be differentiable, the distribution may be
    discrete.

    Args:
      function: of one sample, to a scalar.
      params: what `dist_builder` takes.
      dist_builder: `dist_builder(*params)` is an object with `sample` and `log_prob`.
      rng: key of the samples.
      num_samples: rows, >= 1.

    Returns:
      A tuple with an array of shape (num_samples, *shape) for each parameter.
    """
    FUNCTION("score_function_jacobians", "function", function)
    FUNCTION("score_function_jacobians", "dist_builder", dist_builder)
    ITERABLE("score_function_jacobians", "params", params)
    count = positive_int("score_function_jacobians", "num_samples", num_samples)
    params = tuple(params)
    samples = jax.lax.stop_gradient(draw_samples(dist_builder(*params), rng, count))

    def row(sample: jax.Array) -> tuple[Any, ...]:
        scores = jax.grad(lambda p: total_log_prob(dist_builder(*p), sample))(params)
        value = function(sample)
        return jax.tree.map(lambda s: value * s, scores)

    return jax.vmap(row)(samples)


def pathwise_jacobians(
    function: Function, params: Sequence[Any], dist_builder: DistBuilder, rng: jax.Array, num_samples: int
) -> tuple[Any, ...]:
    """The reparametrised estimates: f and the distribution's `sample` must be differentiable.

    Args:
      function, params, dist_builder, rng, num_samples: as in `score_function_jacobians`.

    Returns:
      A tuple with an array of shape (num_samples, *shape) for each parameter.

    Raises:
      ArgumentError: the samples are integers.
    """
    FUNCTION("pathwise_jacobians", "function", function)
    FUNCTION("pathwise_jacobians", "dist_builder", dist_builder)
    ITERABLE("pathwise_jacobians", "params", params)
    count = positive_int("pathwise_jacobians", "num_samples", num_samples)
    params = tuple(params)
    dist = dist_builder(*params)
    shape = jax.eval_shape(lambda key: draw_samples(dist, key, 1), rng)
    if not jnp.issubdtype(shape.dtype, jnp.inexact) or getattr(dist, "has_rsample", True) is False:
        raise ArgumentError(
            f"pathwise_jacobians: samples must depend smoothly on params, got {type(dist).__name__} with "
            "samples of dtype "
            f"{shape.dtype}. Use score_function_jacobians."
        )

    def row(key: jax.Array) -> tuple[Any, ...]:
        return jax.grad(lambda p: function(draw_samples(dist_builder(*p), key, 1)[0]))(params)

    return jax.vmap(row)(jax.random.split(rng, count))


def measure_valued_jacobians(
    function: Function,
    params: Sequence[Any],
    dist_builder: DistBuilder,
    rng: jax.Array,
    num_samples: int,
    coupling: bool = True,
) -> tuple[Any, ...]:
    """Measure-valued estimates for normal distributions: 2 d evaluations of f a sample for the mean, 2 d for
    the scale.

    The scale's derivative is (E f(mu + s M) - E f(mu + s z)) / s with M double-sided Maxwell and z normal.

    Args:
      function, params, dist_builder, rng, num_samples: as in `score_function_jacobians`; the distribution
        must be normal with `loc` and `scale`, and these are differentiated through `dist_builder`.
      coupling: draw both sides of each difference from the same random numbers, which lowers the variance.

    Returns:
      A tuple with an array of shape (num_samples, *shape) for each parameter.
    """
    who = "measure_valued_jacobians"
    FUNCTION(who, "function", function)
    FUNCTION(who, "dist_builder", dist_builder)
    ITERABLE(who, "params", params)
    count = positive_int(who, "num_samples", num_samples)
    params = tuple(params)

    def moments(*p: Any) -> tuple[jax.Array, jax.Array]:
        return mean_and_std(dist_builder(*p), who)

    (loc, scale), pull_back = jax.vjp(moments, *params)
    shape = jnp.broadcast_shapes(loc.shape, scale.shape)
    loc, scale = jnp.broadcast_to(loc, shape), jnp.broadcast_to(scale, shape)
    size = math.prod(shape)

    def at(base: jax.Array, j: jax.Array, z: jax.Array) -> jax.Array:
        """f where coordinate j of the standardised sample is z."""
        return function(loc + scale * base.ravel().at[j].set(z).reshape(shape))

    def row(key: jax.Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, 3)
        # Three normals make a Rayleigh number (two of them) and a Maxwell number (all), so that the laws are
        # coupled.
        ours, theirs = (jax.random.normal(k, (3, size), loc.dtype) for k in keys[:2])
        theirs = ours if coupling else theirs
        base = jax.random.normal(keys[2], shape, loc.dtype)

        def one(j: jax.Array) -> tuple[jax.Array, jax.Array]:
            up = jnp.linalg.norm(ours[:2, j])
            down = jnp.linalg.norm(theirs[:2, j])
            maxwell = jnp.sign(ours[0, j]) * jnp.linalg.norm(ours[:, j])
            d_mean = (at(base, j, up) - at(base, j, -down)) / math.sqrt(2 * math.pi)
            d_std = at(base, j, maxwell) - at(base, j, theirs[0, j])
            return d_mean, d_std

        d_mean, d_std = jax.vmap(one)(jnp.arange(size))
        return pull_back((d_mean.reshape(shape) / scale, d_std.reshape(shape) / scale))

    return jax.vmap(row)(jax.random.split(rng, count))
