"""Gradient noise, annealed.

    u_t = g_t + n_t,     n_t ~ N(0, eta / t^gamma),     t = 1, 2, ...

Source: Neelakantan et al. 2015, arXiv:1511.06807.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    KEY,
    REAL,
    ArgumentError,
    Field,
    GradientTransformationExtraArgs,
    Params,
    Program,
    Updates,
    checked,
    count,
    fields,
    leafwise,
    map_leaves,
    number,
    random_key,
    times,
    wrapper,
)


class AddNoiseState(NamedTuple):
    """count: updates so far, an int32 scalar. rng_key: the key that the next noise comes from."""

    count: Any
    rng_key: Any


class AnnealState(NamedTuple):
    """count: updates so far, an int32 scalar."""

    count: Any


def key_of(who: str, key: Any, seed: int | None = None) -> Field:
    """The field of a random key that came as a key or an int under one of two names; key 0 where none came.

    Raises:
      ArgumentError: both came.
    """
    if key is not None and seed is not None:
        raise ArgumentError(f"{who}: give key or seed, not both; got key={key!r} and seed={seed!r}.")

    def make() -> jax.Array:
        chosen = jnp.asarray(0 if key is None and seed is None else seed if key is None else key)
        is_seed = jnp.issubdtype(chosen.dtype, jnp.integer) and chosen.ndim == 0
        return jax.random.key(chosen) if is_seed else chosen

    return random_key(make)


def wide_like(updates: Any) -> Any:
    """Shapes and dtypes to draw noise in, and how they are split: those of the updates, at least float32."""

    def wide(g: Any) -> jax.Array:
        return jnp.asarray(g, tree.at_least_float32(jnp.result_type(g)))

    return jax.eval_shape(lambda: jax.tree.map(wide, updates))


def _annealed(count: jax.Array, eta: Any, gamma: Any) -> dict[str, Any]:
    return {"factor": jnp.sqrt(eta / count**gamma)}


def _sum(row: Any, shared: Any) -> jax.Array:
    g, noise = row
    return (g + noise).astype(jnp.result_type(g))


_SUM = Program(_sum, "add_noise")


def sum_leaves(updates: Updates, noise: Any) -> Updates:
    """updates + noise in the dtypes of the updates."""
    sums, treedef = map_leaves(_SUM, updates, noise, what="updates and noise")
    return treedef.unflatten(sums)


@checked(eta=number(0), gamma=REAL, key=KEY, seed=KEY)
def add_noise(
    eta: Any, gamma: Any, key: Any = None, *, seed: int | None = None
) -> GradientTransformationExtraArgs:
    """Adds Gaussian noise whose variance falls with time: eta / t^gamma at update t, from 1.

    The noise of complex gradients is complex, with that variance in total.

    Args:
      eta: variance at the first update, not negative.
      gamma: exponent of the decay; the source recommends 0.55.
      key: random key, or an int to make one of; None is 0.
      seed: another name for an int key.

    Raises:
      ArgumentError: both key and seed are given.
      HyperparameterError: eta is negative, or a number is not finite.

    Source: Neelakantan et al. 2015, arXiv:1511.06807.

    Example:
      >>> tx = add_noise(eta=0.01, gamma=0.55, key=0)
      >>> updates, state = tx.update(jnp.zeros(1000), tx.init(jnp.zeros(1000)))
      >>> bool(abs(updates.std() - 0.1) < 0.01)
      True
    """
    anneal = leafwise(
        times, fields(AnnealState, count=count()), name="anneal",
        hyperparams={"eta": eta, "gamma": gamma}, scalars=_annealed,
    )  # fmt: skip
    first_state = fields(AddNoiseState, count=count(), rng_key=key_of("add_noise", key, seed))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        next_key, key = jax.random.split(state.rng_key)
        noise, annealed = anneal.update(tree.random_like(key, wide_like(updates)), AnnealState(state.count))
        return sum_leaves(updates, noise), AddNoiseState(annealed.count, next_key)

    return wrapper(first_state, update)
