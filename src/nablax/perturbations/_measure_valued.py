"""Measure-valued (weak) derivatives: differences of expectations, without scores and without derivatives of
f.

A derivative of a density is a difference of two densities. For Normal noise, with the signed measures P_k:
z^k phi(z),

    d/dx  integral f(x + sigma z) dP_k = (P_(k+1) - k P_(k-1)) f / sigma,

and P_1 is the difference of two Rayleigh laws: d/dx E f = (E f(x + sigma W) - E f(x - sigma W)) / (sigma
sqrt(2 pi)). Gumbel noise has such a family in t = exp(-z): P_k: t^k mu(z), where t is Gamma(k + 1)
distributed and P_k goes to ((k+1) P_k - P_(k+1)) / sigma. Laplace noise has P_0: the law itself, P_1: its
signs, and P_2 = P_0 minus a point mass at 0. Each family is closed, so derivatives of every order (two for
Laplace) are again such differences, one coordinate at a time. One derivative costs 2 D evaluations a sample.

Source: Mohamed, Rosca, Figurnov & Mnih 2020, arXiv:1906.10652, section 6. The families for higher orders are
derived here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import HyperparameterError

from ._noise import Gumbel, Laplace, Normal, differentiable_never
from ._sampling import accumulate

Evaluate = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class _NormalFamily:
    """P_k = z^k phi(z): |z| is chi-distributed with k + 1 degrees of freedom."""

    max_order = 64
    flips = (1, -1)

    def draw(self, key: jax.Array, size: int, depth: int, dtype: Any) -> jax.Array:
        return jax.random.normal(key, (size, depth + 1), dtype)

    def point(self, r: jax.Array, k: jax.Array, flip: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The coordinates of z, and the weight that the sample carries."""
        sign = jnp.sign(r[..., 0]) * flip
        radius = jnp.sqrt(_pick(jnp.cumsum(jnp.square(r), -1), k))
        # E |z|^k for a normal z.
        mass = [2 ** (i / 2) * math.gamma((i + 1) / 2) / math.sqrt(math.pi) for i in range(r.shape[-1])]
        weight = jnp.asarray(mass, r.dtype)[k] * jnp.where(k % 2 == 1, sign, 1)
        return sign * radius, jnp.prod(weight, -1)

    def terms(self, k: jax.Array, depth: int) -> list[tuple[Any, jax.Array]]:
        """The derivative of P_k as coefficients of P_k'."""
        up = [(1, k + 1)]
        return up if depth == 0 else [*up, (-k, jnp.maximum(k - 1, 0))]


class _GumbelFamily:
    """P_k = t^k mu(z), t = exp(-z): t is Gamma(k + 1) distributed, a sum of k + 1 exponential variables."""

    max_order = 64
    flips = (1,)

    def draw(self, key: jax.Array, size: int, depth: int, dtype: Any) -> jax.Array:
        return jax.random.exponential(key, (size, depth + 1), dtype)

    def point(self, r: jax.Array, k: jax.Array, flip: jax.Array) -> tuple[jax.Array, jax.Array]:
        del flip
        t = jnp.maximum(_pick(jnp.cumsum(r, -1), k), jnp.finfo(r.dtype).tiny)
        mass = jnp.asarray([float(math.factorial(i)) for i in range(r.shape[-1])], r.dtype)
        return -jnp.log(t), jnp.prod(jnp.broadcast_to(mass[k], t.shape), -1)

    def terms(self, k: jax.Array, depth: int) -> list[tuple[Any, jax.Array]]:
        del depth
        return [(k + 1, k), (-1, k + 1)]


class _LaplaceFamily:
    """P_0: the law, P_1: the law times sign z, P_2: a point mass at 0."""

    max_order = 2
    flips = (1, -1)

    def draw(self, key: jax.Array, size: int, depth: int, dtype: Any) -> jax.Array:
        del depth
        return jax.random.laplace(key, (size, 1), dtype)

    def point(self, r: jax.Array, k: jax.Array, flip: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = r[..., 0] * flip
        return jnp.where(k == 2, 0, z), jnp.prod(jnp.where(k == 1, jnp.sign(z), 1), -1)

    def terms(self, k: jax.Array, depth: int) -> list[tuple[Any, jax.Array]]:
        if depth == 0:
            return [(1, k + 1)]
        return [(1, 1 - k), (-k, jnp.full_like(k, 2))]


_FAMILIES: dict[type, Any] = {Normal: _NormalFamily(), Gumbel: _GumbelFamily(), Laplace: _LaplaceFamily()}


def family_of(noise: Any, who: str) -> Any:
    """The weak derivatives of a law.

    Raises:
      HyperparameterError: they are not known.
    """
    if type(noise) not in _FAMILIES:
        raise HyperparameterError(
            f"{who}: estimator='measure_valued' needs noise whose density splits into a difference of two: "
            "Normal(), Gumbel() "
            f"or Laplace(), got {noise!r}."
        )
    return _FAMILIES[type(noise)]


def _pick(sums: jax.Array, k: jax.Array) -> jax.Array:
    """sums[..., k], k varying with the coordinate."""
    k = jnp.broadcast_to(k, sums.shape[:-1])
    return jnp.take_along_axis(sums, k[..., None], -1)[..., 0]


def measure_valued_estimate(
    evaluate: Evaluate,
    x: jax.Array,
    sigma: jax.Array,
    key: jax.Array,
    *,
    family: Any,
    num_samples: int,
    batch_size: int | None,
) -> jax.Array:
    """Estimates E f(x + sigma z), as a function of x whose derivatives are unbiased measure-valued estimates.

    Args:
      evaluate: `evaluate(x, delta, salt)` is f(x + delta), a vector.
      x: vector of length D.
      sigma: scalar, or a vector of length D; not differentiable here.
      key: decides the samples.
      family: of `family_of`.
      num_samples: samples; each costs one evaluation for the value and 2 D more for a first derivative.
      batch_size: samples evaluated at once.

    Returns:
      Vector of the length of f's values.
    """

    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def moment(depth: int, x: Any, sigma: Any, key: Any, k: Any, axis: Any) -> Any:
        """The integral of f, less f(x) from the first derivative on, over P_k; `axis` is averaged over its
        two signs."""
        center = evaluate(x, jnp.zeros_like(x), jnp.zeros((), jnp.uint32))
        center = jnp.where(jnp.isfinite(center), center, 0)

        def one(index: jax.Array) -> jax.Array:
            sample_key = jax.random.fold_in(key, index)
            words = jax.random.key_data(sample_key)
            r = family.draw(sample_key, x.size, depth, x.dtype)
            total: Any = 0.0
            flips = family.flips if depth else (1,)
            for sign in flips:
                flip = jnp.where(jnp.arange(x.size) == axis, sign, 1).astype(x.dtype)
                z, weight = family.point(r, k, flip)
                total = total + weight * (evaluate(x, sigma * z, words[0] ^ words[-1]) - center) / len(flips)
            return total

        def sums(indices: jax.Array, live: jax.Array) -> jax.Array:
            return jnp.sum(jnp.where(live[:, None], jax.vmap(one)(indices), 0), 0)

        mean = accumulate(sums, num_samples, batch_size) / num_samples
        return mean if depth else mean + center

    @moment.defjvp
    def moment_jvp(depth: int, primals: Any, tangents: Any) -> Any:
        x, sigma, key, k, _ = primals
        if depth >= family.max_order:
            raise HyperparameterError(
                f"make_perturbed_fun: estimator='measure_valued' with this noise has derivatives up to "
                f"order {family.max_order}; use Normal() or Gumbel() noise for higher ones."
            )

        def column(j: jax.Array) -> jax.Array:
            terms = family.terms(k[j], depth)
            return sum(c * moment(depth + 1, x, sigma, key, k.at[j].set(to), j) for c, to in terms)

        # vmap, not lax.map: partial evaluation of a loop would lose the rule that the next derivative needs.
        columns = jax.vmap(column)(jnp.arange(x.size))
        return moment(depth, *primals), jnp.matmul(tangents[0] / sigma, columns, precision="highest")

    sigma = differentiable_never(
        sigma,
        "make_perturbed_fun: estimator='measure_valued' has no derivative in sigma; use 'score' or "
        "'pathwise'.",
    )
    return moment(0, x, sigma, key, jnp.zeros((x.size,), jnp.int32), jnp.int32(-1))
