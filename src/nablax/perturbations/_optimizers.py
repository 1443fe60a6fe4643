"""Perturbed optimizers: argmax, ranks, shortest paths and other linear programs made differentiable, and the
losses that fit them.

    y_sigma(theta) = E y*(theta + sigma z),     y*(theta) = argmax over the polytope of <y, theta>
    F(theta)       = E max <y, theta + sigma z>, whose gradient is y_sigma(theta)
    L(theta; y)    = F(theta) - <theta, y>,      whose gradient is y_sigma(theta) - y

L is convex in theta; it is smallest where the perturbed solution is y, and needs no derivative of the solver.

Source: Berthet, Blondel, Teboul, Cuturi, Vert & Bach 2020, arXiv:2002.08676.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import StructureError

from ._checks import as_scores
from ._noise import Gumbel, Normal
from ._oracles import argmax_oracle, rank_oracle, shortest_path_oracle, top_k_oracle
from ._perturbed import make_perturbed_fun

_NORMAL = Normal()
_GUMBEL = Gumbel()
Oracle = Callable[[Any], Any]


def perturbed_optimizer(
    oracle: Oracle,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    **options: Any,
) -> Callable[[jax.Array, Any], Any]:
    """The differentiable mean solution of any linear-programming oracle.

    Args:
      oracle: theta -> argmax over y of <y, theta>; y has theta's structure. It is traced by JAX; a solver
        outside JAX goes through `jax.pure_callback`.
      num_samples, sigma, noise: as in `make_perturbed_fun`.
      **options: the keyword-only arguments of `make_perturbed_fun`.

    Returns:
      A function of a key and of theta.

    Defaults: as in `make_perturbed_fun`; Gaussian noise is that of Berthet et al. 2020.
    """
    return make_perturbed_fun(oracle, num_samples, sigma, noise, **options)


def perturbed_argmax(
    key: jax.Array,
    scores: jax.Array,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _GUMBEL,
    **options: Any,
) -> jax.Array:
    """The chance of each score along the last axis to be the largest once noise is added.

    For Gumbel noise and one sigma that is softmax(scores / sigma), returned in closed form: no sample is
    drawn and the key is not read. Other laws are sampled.

    Args:
      key: decides the samples.
      scores: real array; axes before the last are separate problems.
      num_samples, sigma, noise: as in `make_perturbed_fun`.
      **options: the keyword-only arguments of `make_perturbed_fun`.

    Defaults: as in `make_perturbed_fun`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> p = perturbed_argmax(jax.random.key(0), jnp.array([0.0, 0.1]), sigma=0.1)
      >>> bool(jnp.allclose(p, jax.nn.softmax(jnp.array([0.0, 1.0]))))
      True
    """
    scores = as_scores("perturbed_argmax", "scores", scores)
    fun = make_perturbed_fun(argmax_oracle, num_samples, sigma, noise, **options)
    if isinstance(noise, Gumbel) and jnp.ndim(sigma) == 0:
        return jax.nn.softmax(scores / sigma, -1)
    return fun(key, scores)


def perturbed_top_k(
    key: jax.Array,
    scores: jax.Array,
    k: int,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _GUMBEL,
    **options: Any,
) -> jax.Array:
    """The chance of each score along the last axis to be among the k largest once noise is added.

    Args:
      key, scores, num_samples, sigma, noise, **options: as in `perturbed_argmax`.
      k: how many are chosen.

    Defaults: as in `make_perturbed_fun`.
    """
    return make_perturbed_fun(top_k_oracle(k), num_samples, sigma, noise, **options)(key, scores)


def perturbed_sort(
    key: jax.Array,
    scores: jax.Array,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    **options: Any,
) -> jax.Array:
    """The mean of the sorted values, ascending along the last axis, of scores with noise added.

    Args:
      key, scores, num_samples, sigma, noise, **options: as in `perturbed_argmax`.

    Defaults: as in `perturbed_optimizer`.
    """
    scores = as_scores("perturbed_sort", "scores", scores)
    return make_perturbed_fun(functools.partial(jnp.sort, axis=-1), num_samples, sigma, noise, **options)(
        key, scores
    )


def perturbed_rank(
    key: jax.Array,
    scores: jax.Array,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    **options: Any,
) -> jax.Array:
    """The mean rank of each score along the last axis, 1 for the smallest, once noise is added.

    Args:
      key, scores, num_samples, sigma, noise, **options: as in `perturbed_argmax`.

    Defaults: as in `perturbed_optimizer`.
    """
    scores = as_scores("perturbed_rank", "scores", scores)
    return make_perturbed_fun(rank_oracle, num_samples, sigma, noise, **options)(key, scores)


def perturbed_shortest_path(
    key: jax.Array,
    costs: jax.Array,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    diagonal: bool = True,
    **options: Any,
) -> jax.Array:
    """The chance of each cell of a grid to lie on the cheapest path from the first to the last cell once
    noise is added.

    Args:
      key, num_samples, sigma, noise, **options: as in `perturbed_argmax`.
      costs: array of shape (height, width) of positive costs of the cells.
      diagonal: paths move to eight neighbours, or to four.

    Defaults: as in `perturbed_optimizer`.
    """
    costs = as_scores("perturbed_shortest_path", "costs", costs, "(height, width)")
    return make_perturbed_fun(shortest_path_oracle(diagonal=diagonal), num_samples, sigma, noise, **options)(
        key, -costs
    )


def fenchel_young_loss(
    oracle: Oracle,
    *,
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _NORMAL,
    **options: Any,
) -> Callable[[jax.Array, Any, Any], jax.Array]:
    """The loss E max <y, theta + sigma z> - <theta, target>, convex in theta, minimal where the perturbed
    solution is the target.

    It lacks the term of the target alone that would make its minimum 0: that term has no closed form in
      general.

    Args:
      oracle, num_samples, sigma, noise, **options: as in `perturbed_optimizer`.

    Returns:
      A function of a key, of theta and of the target, both of one structure. Its gradient in theta,
      y_sigma(theta) - target, its Hessian and so on are unbiased. It raises StructureError for a target of
      other shapes.

    Defaults: as in `perturbed_optimizer`.
    """
    mean_solution = perturbed_optimizer(oracle, num_samples=num_samples, sigma=sigma, noise=noise, **options)

    def best(theta: Any) -> jax.Array:
        return _vdot(oracle(theta), theta)

    mean_best = make_perturbed_fun(best, num_samples, sigma, noise, **options)

    @jax.custom_jvp
    def potential(key: jax.Array, theta: Any) -> jax.Array:
        return mean_best(key, theta)

    @potential.defjvp
    def potential_jvp(primals: Any, tangents: Any) -> Any:
        key, theta = primals
        return potential(key, theta), _vdot(mean_solution(key, theta), tangents[1])

    def loss(key: jax.Array, theta: Any, target: Any) -> jax.Array:
        shapes = [jax.tree.map(jnp.shape, t) for t in (theta, target)]
        if shapes[0] != shapes[1]:
            raise StructureError(
                f"fenchel_young_loss: target must have the structure and shapes of theta, {shapes[0]}, "
                f"got {shapes[1]}."
            )
        return potential(key, theta) - _vdot(theta, target)

    return loss


def _vdot(a: Any, b: Any) -> jax.Array:
    return sum(jax.tree.leaves(jax.tree.map(lambda u, v: jnp.sum(u * v), a, b)), jnp.zeros(()))
