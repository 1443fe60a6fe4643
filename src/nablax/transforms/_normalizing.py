"""Scaling by norms: of all updates together, of each block of parameters, or down to the signs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    REAL,
    EmptyState,
    GradientTransformation,
    checked,
    leafwise,
    number,
    safe_norm,
    safe_root_mean_squares,
    times,
)

NormalizeState = EmptyState
ScaleByTrustRatioState = EmptyState


def _joint_norm(updates: Any, params: Any) -> dict[str, jax.Array]:
    del params
    return {"norm": tree.norm(updates)}


def _over_norm(norm: jax.Array, scale_factor: Any, eps: Any) -> dict[str, jax.Array]:
    return {"factor": scale_factor / (norm + eps)}


@checked(scale_factor=REAL, eps=number(0))
def normalize_by_update_norm(scale_factor: Any = 1.0, eps: Any = 1e-6) -> GradientTransformation:
    """Scales all updates to one joint norm: u = scale_factor g / (|g| + eps).

    Args:
      scale_factor: norm of the result; negative to descend.
      eps: added to the norm, not negative.

    Raises:
      HyperparameterError: eps is negative, or a number is not finite.

    Defaults: as in Optax.

    Example:
      >>> tx = normalize_by_update_norm(scale_factor=2.0, eps=0.0)
      >>> tx.update(jnp.array([3.0, 4.0]), EmptyState())[0]
      Array([1.2, 1.6], dtype=float32)
    """
    return leafwise(
        times,
        hyperparams={"scale_factor": scale_factor, "eps": eps},
        measure=_joint_norm,
        scalars=_over_norm,
    )


def _unit(norm: jax.Array) -> dict[str, jax.Array]:
    zero = norm == 0
    return {"factor": jnp.where(zero, 0.0, 1.0 / jnp.where(zero, 1.0, norm))}


@checked()
def normalize() -> GradientTransformation:
    """Scales all updates to joint norm 1: u = g / |g|; updates that are all zero stay zero.

    Example:
      >>> normalize().update(jnp.array([3.0, 4.0]), EmptyState())[0]
      Array([0.6, 0.8], dtype=float32)
    """
    return leafwise(times, measure=_joint_norm, scalars=_unit)


def _sign(g: jax.Array) -> jax.Array:
    return jnp.sign(g)


@checked()
def scale_by_sign() -> GradientTransformation:
    """Replaces every entry by its sign; a complex entry by g / |g|.

    Source: Bernstein et al. 2018, arXiv:1802.04434.
    """
    return leafwise(_sign)


def _by_block_norm(g: jax.Array, params: jax.Array, *, min_scale: Any) -> jax.Array:
    return g * _norm_at_least(params, min_scale)


@checked(min_scale=number(0))
def scale_by_param_block_norm(min_scale: Any = 1e-3) -> GradientTransformation:
    """Multiplies each leaf by the norm of its parameters: u = g max(|p|, min_scale).

    Args:
      min_scale: least factor, so that parameters that are zero can move; not negative.

    Raises:
      HyperparameterError: negative or not finite.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; min_scale is eps_2 of Shazeer & Stern 2018, arXiv:1804.04235.
    """
    return leafwise(_by_block_norm, hyperparams={"min_scale": min_scale})


def _by_block_rms(g: jax.Array, params: jax.Array, *, min_scale: Any) -> jax.Array:
    return g * safe_root_mean_squares(params, min_scale)


@checked(min_scale=number(0))
def scale_by_param_block_rms(min_scale: Any = 1e-3) -> GradientTransformation:
    """Multiplies each leaf by the root mean square of its parameters: u = g max(rms(p), min_scale).

    Args:
      min_scale: least factor, so that parameters that are zero can move; not negative.

    Raises:
      HyperparameterError: negative or not finite.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; min_scale is eps_2 of the source.

    Source: the relative step sizes of Shazeer & Stern 2018, arXiv:1804.04235, section 8.
    """
    return leafwise(_by_block_rms, hyperparams={"min_scale": min_scale})


def _norm_at_least(x: jax.Array, least: Any) -> jax.Array:
    return safe_norm(x, least)


def _by_trust_ratio(
    g: jax.Array, params: jax.Array, *, min_norm: Any, trust_coefficient: Any, eps: Any
) -> jax.Array:
    of_params, of_update = _norm_at_least(params, min_norm), _norm_at_least(g, min_norm)
    ratio = trust_coefficient * of_params / (of_update + eps)
    # A block that is zero, or does not move, has no scale to compare with.
    return g * jnp.where((of_params == 0) | (of_update == 0), 1.0, ratio)


@checked(min_norm=number(0), trust_coefficient=REAL, eps=number(0))
def scale_by_trust_ratio(
    min_norm: Any = 0.0, trust_coefficient: Any = 1.0, eps: Any = 0.0
) -> GradientTransformation:
    """Scales each leaf to a step in proportion to its parameters' norm, as LARS and LAMB do.

        u = g trust_coefficient |p| / (|g| + eps),   u = g where |p| or |g| is 0

    Args:
      min_norm: least norm of either, not negative.
      trust_coefficient: step over the parameters' norm.
      eps: added to the norm of the update, not negative.

    Raises:
      HyperparameterError: a negative number, or one that is not finite.
      MissingParamsError: `update` without params.

    Defaults: as in Optax.

    Source: You et al. 2017, arXiv:1708.03888; You et al. 2020, arXiv:1904.00962.
    """
    return leafwise(
        _by_trust_ratio,
        hyperparams={"min_norm": min_norm, "trust_coefficient": trust_coefficient, "eps": eps},
    )
