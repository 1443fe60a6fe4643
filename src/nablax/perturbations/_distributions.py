"""Distributions known only by what they can do: `sample` and `log_prob`."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import ARRAY, ArgumentError


class MultiNormalDiag:
    """The normal law with independent coordinates, of mean `loc` and standard deviation exp(log_scale).

    Attributes:
      loc, scale, log_scale: arrays.
      params: the list [loc, log_scale].
    """

    def __init__(self, loc: Any, log_scale: Any):
        ARRAY("multi_normal", "loc", loc)
        ARRAY("multi_normal", "log_scale", log_scale)
        self.loc = jnp.asarray(loc)
        self.log_scale = jnp.asarray(log_scale)
        self.scale = jnp.exp(self.log_scale)
        self.params = [self.loc, self.log_scale]
        self._shape = jnp.broadcast_shapes(self.loc.shape, self.scale.shape)

    def sample(self, shape: tuple[int, ...], key: jax.Array) -> jax.Array:
        """loc + scale z, of shape `shape` and then that of loc and scale together."""
        return self.loc + self.scale * jax.random.normal(key, (*shape, *self._shape), self.loc.dtype)

    def log_prob(self, x: jax.Array) -> jax.Array:
        """The logarithm of the density at `x`, summed over the axes of loc and scale."""
        z = (x - self.loc) / self.scale
        terms = -0.5 * (jnp.square(z) + jnp.log(2 * jnp.pi)) - self.log_scale
        return jnp.sum(terms, tuple(range(-len(self._shape), 0)))


def multi_normal(loc: Any, log_scale: Any) -> MultiNormalDiag:
    """A `dist_builder`: the diagonal normal law.

    Args:
      loc: its mean, an array.
      log_scale: the logarithm of its standard deviation, an array of the same shape.
    """
    return MultiNormalDiag(loc, log_scale)


def draw_samples(dist: Any, key: jax.Array, count: int) -> jax.Array:
    """`count` samples, stacked along the first axis, whatever the distribution calls its arguments.

    NumPyro takes sample(key, sample_shape), distrax sample(*, seed, sample_shape), TensorFlow Probability
    sample(sample_shape, seed), `multi_normal` (as Optax's) sample(shape, key).

    Raises:
      ArgumentError: the object has no `sample` or no `log_prob`.
    """
    if not callable(getattr(dist, "sample", None)) or not callable(getattr(dist, "log_prob", None)):
        raise ArgumentError(
            f"dist_builder must return an object with sample and log_prob, got {type(dist).__name__}."
        )
    names = list(inspect.signature(dist.sample).parameters)
    if "seed" in names:
        return dist.sample(seed=key, sample_shape=(count,))
    if names[:2] == ["shape", "key"]:
        return dist.sample((count,), key)
    return dist.sample(key, (count,))


def total_log_prob(dist: Any, sample: jax.Array) -> jax.Array:
    """The log density of one sample as a scalar: coordinates that the distribution counts as separate are
    independent."""
    return jnp.sum(dist.log_prob(sample))


def mean_and_std(dist: Any, who: str) -> tuple[jax.Array, jax.Array]:
    """loc and scale of a normal distribution with independent coordinates, also under a wrapper such as
    Independent.

    Raises:
      ArgumentError: it is not known to be one.
    """
    inner = dist
    for _ in range(4):
        if "normal" in type(inner).__name__.lower() and "log" not in type(inner).__name__.lower():
            scale = getattr(inner, "scale", None)
            if scale is None:
                scale = getattr(inner, "scale_diag", None)
            loc = getattr(inner, "loc", None)
            if loc is not None and scale is not None:
                loc, scale = jnp.asarray(loc), jnp.asarray(scale)
                return loc, jnp.broadcast_to(scale, jnp.broadcast_shapes(loc.shape, scale.shape))
        inner = next((getattr(inner, n) for n in ("base_dist", "distribution") if hasattr(inner, n)), None)
        if inner is None:
            break
    raise ArgumentError(
        f"{who}: dist_builder must return a normal distribution with loc and scale, got "
        f"{type(dist).__name__}."
    )
