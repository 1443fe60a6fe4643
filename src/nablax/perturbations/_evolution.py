"""Evolution strategies and simultaneous perturbation: gradients for optimizers, from losses alone.

    es     g = mean of u_i s(z_i) / sigma,  u_i the (shaped) loss at theta + sigma z_i
    spsa   g = mean of (f(theta + c z) - f(theta - c z)) z / (2 c),  z signs

Each returns a tree like the parameters, which the `update` of any optimizer takes where it would take a
gradient.

Sources: Salimans et al. 2017, arXiv:1703.03864; Wierstra et al. 2014 (JMLR 15, 949-980) for rank shaping;
Spall 1992, doi:10.1109/9.119632.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import ARRAY, FUNCTION, HyperparameterError, StructureError

from ._checks import check_positive, check_real, check_scalar, positive_int
from ._layout import Layout
from ._noise import Normal, Rademacher, score_of
from ._perturbed import make_perturbed_fun
from ._sampling import accumulate, as_key, draw

_NORMAL = Normal()
_SIGNS = Rademacher()
Fun = Callable[[Any], Any]


def centered_ranks(values: jax.Array) -> jax.Array:
    """Ranks spread evenly over [-1/2, 1/2]; equal values share the mean of their ranks, so that they cancel.

    Args:
      values: vector of losses; NaN counts as the largest.

    Returns:
      Vector of the same length: -1/2 for the smallest, +1/2 for the largest.

    Raises:
      ArgumentError: values are no array of numbers.
      StructureError: they are no vector.
    """
    ARRAY("centered_ranks", "values", values)
    values = jnp.asarray(values)
    if values.ndim != 1:
        raise StructureError(f"centered_ranks: values must be a vector, got shape {values.shape}.")
    values = jnp.where(jnp.isnan(values), jnp.inf, values)
    order = jnp.sort(values)
    first, last = (
        jnp.searchsorted(order, values, side="left"),
        jnp.searchsorted(order, values, side="right") - 1,
    )
    return 0.5 * (first + last) / max(values.size - 1, 1) - 0.5


def es_value_and_gradient(
    fun: Fun,
    key: jax.Array,
    params: Any,
    *,
    num_samples: int = 100,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    antithetic: bool = True,
    shaping: str | Callable[[jax.Array], jax.Array] | None = None,
    batch_size: int | None = None,
) -> tuple[jax.Array, Any]:
    """The mean loss around the parameters, and an evolution-strategies estimate of its gradient.

    Args:
      fun: parameters -> scalar loss, smaller is better; traceable by JAX, but not differentiated.
      key: decides the samples.
      params: tree of floating arrays.
      num_samples: evaluations of `fun`; even with `antithetic`.
      sigma: scale of the noise: a number, or a tree like params.
      noise: the law of the noise.
      antithetic: evaluate each perturbation together with its reflection.
      shaping: None estimates the gradient of E fun(params + sigma z), without bias. "centered_rank" replaces
        each loss by its rank, from -1/2 to 1/2, among all: the direction then does not depend on the losses'
        scale or outliers, but its length is no gradient's. A function maps the vector of losses to the vector
        of weights.
      batch_size: evaluations at once.

    Returns:
      (mean of the sampled losses, tree like params).

    Raises:
      HyperparameterError: a number out of range, or an unknown shaping.
      StructureError: fun returns no scalar.

    Defaults: sigma as in `make_perturbed_fun`; 100 evaluations are a start, `gradient_statistics` says how many are
    needed.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.array([3.0, -3.0])
      >>> loss = lambda x: jnp.sum(jnp.abs(x))
      >>> estimate = jax.jit(lambda key: es_value_and_gradient(loss, key, x, num_samples=2000))
      >>> _, g = estimate(jax.random.key(0))
      >>> bool(jnp.allclose(g, jnp.array([1.0, -1.0]), atol=0.2))
      True
    """
    return _estimate(
        "es_value_and_gradient",
        fun, key, params, num_samples, sigma, noise,
        antithetic=antithetic, shaping=shaping, batch_size=batch_size,
    )  # fmt: skip


def es_gradient(
    fun: Fun,
    key: jax.Array,
    params: Any,
    *,
    num_samples: int = 100,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    antithetic: bool = True,
    shaping: str | Callable[[jax.Array], jax.Array] | None = None,
    batch_size: int | None = None,
) -> Any:
    """The gradient of `es_value_and_gradient`, whose arguments it takes; a tree like params, for any
    optimizer's `update`.

    Defaults: as in `es_value_and_gradient`.
    """
    _, gradient = _estimate(
        "es_gradient",
        fun, key, params, num_samples, sigma, noise,
        antithetic=antithetic, shaping=shaping, batch_size=batch_size,
    )  # fmt: skip
    return gradient


def spsa(
    fun: Fun,
    key: jax.Array,
    params: Any,
    *,
    num_samples: int = 2,
    sigma: Any = 1e-2,
    noise: Any = _SIGNS,
) -> Any:
    """Simultaneous perturbation: a gradient from two evaluations (or a few times two), whatever the number of
    parameters.

    Args:
      fun: parameters -> scalar loss.
      key: decides the directions.
      params: tree of floating arrays.
      sigma: half the distance between the two evaluations, > 0: a number, or a tree like params.
      num_samples: evaluations, even.
      noise: law of the directions: signs; `Normal()` makes it the estimate that `mezo` uses.

    Returns:
      Tree like params: exact on average for quadratic losses, else up to O(sigma^2).

    Defaults: two evaluations are the method of Spall 1992; sigma = 1e-2 is ours, for parameters of order 1 in float32:
    differences keep five digits.
    """
    return _estimate("spsa", fun, key, params, num_samples, sigma, noise)[1]


def _estimate(
    who: str,
    fun: Fun,
    key: jax.Array,
    params: Any,
    num_samples: int,
    sigma: Any,
    noise: Any,
    *,
    antithetic: bool = True,
    shaping: str | Callable[[jax.Array], jax.Array] | None = None,
    batch_size: int | None = None,
) -> tuple[jax.Array, Any]:
    """`es_value_and_gradient` in the name of the function that the user called."""
    num_samples = positive_int(who, "num_samples", num_samples)
    check_positive(who, "sigma", sigma)
    members = 2 if antithetic else 1
    if num_samples % members:
        raise HyperparameterError(f"{who}: num_samples must be even for antithetic pairs, got {num_samples}.")
    FUNCTION(who, "fun", fun)
    key = as_key(key, who)
    check_scalar(who, jax.eval_shape(fun, params))
    if shaping is None:
        smooth = make_perturbed_fun(
            fun,
            num_samples,
            sigma,
            noise,
            estimator="antithetic" if antithetic else "score",
            batch_size=batch_size,
        )
        value, gradient = jax.value_and_grad(smooth, 1)(key, params)
        return value, jax.tree.map(jnp.conj, gradient)
    check_real(who, params)
    shape = centered_ranks if shaping == "centered_rank" else shaping
    if not callable(shape):
        raise HyperparameterError(
            f"{who}: shaping must be None, 'centered_rank' or a function, got {shaping!r}."
        )
    batch = None if batch_size is None else max(1, positive_int(who, "batch_size", batch_size) // members)
    layout, count = Layout(params), num_samples // members
    x, scale = layout.flatten(params), layout.spread(sigma, who)

    def samples(indices: Any) -> tuple[jax.Array, jax.Array]:
        """Noise of shape (members, batch, D), and salts."""
        z, salt = draw(noise, key, indices, layout.size, layout.dtype, antithetic)
        return z.reshape(members, len(indices), layout.size), salt

    def loss(z: jax.Array, salt: jax.Array) -> jax.Array:
        return jnp.asarray(fun(layout.perturb(x, scale * z, salt)), layout.dtype)

    def losses(indices: Any) -> jax.Array:
        return jax.vmap(jax.vmap(loss), (0, None))(*samples(indices))

    if batch is None or batch >= count:
        values = losses(np.arange(count))
    else:
        starts = batch * jnp.arange(-(-count // batch))
        parts = jax.lax.map(lambda start: losses(start + jnp.arange(batch)), starts)
        values = jnp.moveaxis(parts, 1, 0).reshape(members, -1)[:, :count]
    weights = shape(values.ravel()).reshape(values.shape)

    def sums(indices: Any, live: Any) -> jax.Array:
        # The noise is drawn again rather than kept.
        z, _ = samples(indices)
        weight = jnp.where(live, weights[:, jnp.minimum(indices, count - 1)], 0)
        return jnp.einsum("kb,kbd->d", weight, score_of(noise)(z), precision="highest")

    gradient = accumulate(sums, count, batch) / (num_samples * scale)
    return jnp.mean(values), layout.unflatten(gradient)
