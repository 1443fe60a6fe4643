"""How noisy a gradient is, and how many samples would make it good enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, HyperparameterError

from ._checks import check_positive, positive_int
from ._sampling import as_key


class GradientStatistics(NamedTuple):
    """Statistics of a stochastic gradient.

    Attributes:
      mean: tree like one gradient: its mean over all repeats.
      standard_error: tree like it: the standard error of each entry of ONE estimate (not of `mean`, which is
        sqrt(num_repeats) better).
      signal_to_noise: |gradient|^2 / (E |estimate - gradient|^2), a scalar; the noise that the squared mean
        contains is taken off, so that pure noise gives about 0.
      recommended_num_samples: samples in one estimate for which the root of E |estimate - gradient|^2 is
        target_error |gradient|; a float scalar, rounded up; inf where no signal was seen.
    """

    mean: Any
    standard_error: Any
    signal_to_noise: jax.Array
    recommended_num_samples: jax.Array


def gradient_statistics(
    estimator: Callable[[jax.Array], Any],
    key: jax.Array,
    *,
    num_repeats: int = 100,
    num_samples: int = 1,
    target_error: Any = 0.1,
    batch_size: int | None = None,
) -> GradientStatistics:
    """Repeats an estimate with independent keys and says how noisy it is.

    Args:
      estimator: key -> gradient, a tree of arrays, such as `lambda key: jax.grad(smooth, 1)(key, x)`.
      key: is split among the repeats.
      num_repeats: >= 2. The recommendation is as uncertain as a variance of that many numbers.
      num_samples: samples in each estimate, to which the recommendation refers; the variance is taken to be
        proportional to 1/samples.
      target_error: the relative error wanted, > 0.
      batch_size: repeats at once; None is all.

    Raises:
      HyperparameterError: num_repeats < 2, num_samples < 1, target_error not positive.

    Defaults: 100 repeats tell a standard deviation to about 7%.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noisy = lambda key: jnp.array([3.0, 4.0]) + jax.random.normal(key, (2,))
      >>> bool(10 < gradient_statistics(noisy, jax.random.key(0), num_repeats=10_000).signal_to_noise < 16)
      True
    """
    who = "gradient_statistics"
    FUNCTION(who, "estimator", estimator)
    repeats, samples = (
        positive_int(who, "num_repeats", num_repeats),
        positive_int(who, "num_samples", num_samples),
    )
    if repeats < 2:
        raise HyperparameterError(f"{who}: num_repeats must be at least 2 for a variance, got {repeats}.")
    check_positive(who, "target_error", target_error)
    keys = jax.random.split(as_key(key, who), repeats)
    if batch_size is None:
        estimates = jax.vmap(estimator)(keys)
    else:
        estimates = jax.lax.map(estimator, keys, batch_size=positive_int(who, "batch_size", batch_size))
    mean = jax.tree.map(lambda g: jnp.mean(g, 0), estimates)
    variance = jax.tree.map(lambda g: jnp.var(g, 0, ddof=1), estimates)
    noise = _total(variance)
    signal = jnp.maximum(_total(jax.tree.map(lambda m: jnp.square(jnp.abs(m)), mean)) - noise / repeats, 0)
    ratio = jnp.where(signal > 0, signal / noise, 0.0)
    return GradientStatistics(
        mean,
        jax.tree.map(jnp.sqrt, variance),
        ratio,
        jnp.maximum(jnp.ceil(samples / (ratio * jnp.square(jnp.asarray(target_error)))), 1),
    )


def _total(tree: Any) -> jax.Array:
    return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(tree)), jnp.zeros(()))
