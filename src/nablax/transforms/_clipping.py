"""Clipping: bounds on entries, on the norm of all gradients together, on each block, on each unit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    ARRAY,
    EmptyState,
    GradientTransformation,
    StructureError,
    abs_sq,
    checked,
    leafwise,
    number,
    times,
)

ClipState = EmptyState
ClipByGlobalNormState = EmptyState
AdaptiveGradClipState = EmptyState


def _clip(g: jax.Array, *, max_delta: Any) -> jax.Array:
    if jnp.iscomplexobj(g):
        return jax.lax.complex(
            jnp.clip(g.real, -max_delta, max_delta), jnp.clip(g.imag, -max_delta, max_delta)
        )
    return jnp.clip(g, -max_delta, max_delta)


@checked(max_delta=number(0, infinite=True))
def clip(max_delta: Any) -> GradientTransformation:
    """Clips every entry to [-max_delta, max_delta]; of a complex entry, both parts.

    Args:
      max_delta: bound, not negative.

    Raises:
      HyperparameterError: negative or NaN.

    Source: Pascanu et al. 2013, arXiv:1211.5063.

    Example:
      >>> import jax.numpy as jnp
      >>> clip(1.0).update(jnp.array([0.5, -3.0]), ())[0]
      Array([ 0.5, -1. ], dtype=float32)
    """
    return leafwise(_clip, hyperparams={"max_delta": max_delta})


def global_norm(updates: Any) -> jax.Array:
    """The Euclidean norm of all leaves together: `tree.norm`, under the name that Optax has for it."""
    return tree.norm(updates)


def _global_norm(updates: Any, params: Any) -> dict[str, jax.Array]:
    del params
    return {"norm": tree.norm(updates)}


def _global_factor(norm: jax.Array, max_norm: Any) -> dict[str, jax.Array]:
    within = norm <= max_norm
    return {"factor": jnp.where(within, 1.0, max_norm / jnp.where(within, 1.0, norm))}


@checked(max_norm=number(0, infinite=True))
def clip_by_global_norm(max_norm: Any) -> GradientTransformation:
    """Scales all gradients by one factor, so that their joint norm is at most max_norm.

        u = g min(1, max_norm / |g|),   |g|^2 = sum over all leaves of |g_i|^2

    The norm is accumulated in at least float32.

    Args:
      max_norm: bound on the norm, not negative.

    Raises:
      HyperparameterError: negative or NaN.

    Source: Pascanu et al. 2013, arXiv:1211.5063.

    Example:
      >>> import jax.numpy as jnp
      >>> clip_by_global_norm(1.0).update({"a": jnp.array(3.0), "b": jnp.array(4.0)}, ())[0]
      {'a': Array(0.6, dtype=float32), 'b': Array(0.8, dtype=float32)}
    """
    return leafwise(times, hyperparams={"max_norm": max_norm}, measure=_global_norm, scalars=_global_factor)


def _clip_rms(g: jax.Array, *, threshold: Any) -> jax.Array:
    rms = jnp.sqrt(jnp.mean(abs_sq(g))) if g.size else 1.0
    return g / jnp.maximum(1.0, rms / threshold)


@checked(threshold=number(0, open_low=True, infinite=True))
def clip_by_block_rms(threshold: Any) -> GradientTransformation:
    """Scales each leaf so that its root mean square is at most the threshold: u = g / max(1, rms(g) / threshold).

    Args:
      threshold: bound on each leaf's root mean square, positive.

    Raises:
      HyperparameterError: not positive, or NaN.

    Source: Shazeer & Stern 2018, arXiv:1804.04235, section 6.
    """
    return leafwise(_clip_rms, hyperparams={"threshold": threshold})


def unitwise_norm(x: Any, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The Euclidean norm of the unit that each entry belongs to.

    Args:
      x: array of any shape.
      axis: the axes that a unit spans. None: all of them where at most one axis is longer than 1, axis 0 for ranks 2
        and 3 (dense layers, attention heads), all but the last for higher ranks (convolutions).

    Returns:
      Array of the shape of x.

    Source: Brock et al. 2021, arXiv:2102.06171, section 4.1.
    """
    ARRAY("unitwise_norm", "x", x)
    x = jnp.asarray(x)
    if axis is None:
        axis = _unit_axes(x.shape)
    norm = jnp.sqrt(jnp.sum(abs_sq(x), axis=axis, keepdims=True))
    return jnp.broadcast_to(norm, x.shape)


def _unit_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    if sum(n != 1 for n in shape) <= 1:
        return tuple(range(len(shape)))
    return (0,) if len(shape) <= 3 else tuple(range(len(shape) - 1))


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    ends = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(n in (1, m) for n, m in ends)


def unitwise_clip(g_norm: Any, max_norm: Any, grad: Any, div_eps: Any = 1e-6) -> jax.Array:
    """Scales the units of a gradient whose norm is above their bound.

    Args:
      g_norm: norms of the units, broadcastable to grad.
      max_norm: their bounds, broadcastable to grad.
      grad: gradient.
      div_eps: the norms are taken to be at least this when dividing by them.

    Raises:
      StructureError: norms or bounds do not broadcast to the shape of grad.

    Defaults: as in Optax.
    """
    ARRAY("unitwise_clip", "grad", grad)
    grad = jnp.asarray(grad)
    shape = grad.shape
    for name, given in (("g_norm", g_norm), ("max_norm", max_norm)):
        ARRAY("unitwise_clip", name, given)
        if not _broadcasts(jnp.shape(given), shape):
            raise StructureError(
                f"unitwise_clip: {name} must broadcast to the shape of grad, {shape}, got {jnp.shape(given)}."
            )
    g_norm, max_norm = jnp.asarray(g_norm), jnp.asarray(max_norm)
    return jnp.where(g_norm < max_norm, grad, grad * (max_norm / jnp.maximum(g_norm, div_eps)))


def _adaptive_clip(g: jax.Array, params: jax.Array, *, clipping: Any, eps: Any, axis: Any) -> jax.Array:
    bound = clipping * jnp.maximum(unitwise_norm(params, axis), eps)
    return unitwise_clip(unitwise_norm(g, axis), bound, g)


@checked(clipping=number(0, infinite=True), eps=number(0))
def adaptive_grad_clip(
    clipping: Any, eps: Any = 1e-3, axis: int | tuple[int, ...] | None = None
) -> GradientTransformation:
    """Clips each unit's gradient to a multiple of the norm of the unit's parameters.

        u = g min(1, clipping max(|p|, eps) / |g|)   for each unit, see `unitwise_norm`

    Args:
      clipping: largest ratio of gradient norm to parameter norm, not negative.
      eps: least parameter norm, so that parameters that start at zero can move; not negative.
      axis: axes that a unit spans; None infers them from the rank.

    Raises:
      HyperparameterError: negative or NaN.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; eps = 1e-3 is that of the paper.

    Source: Brock et al. 2021, arXiv:2102.06171.
    """
    return leafwise(_adaptive_clip, hyperparams={"clipping": clipping, "eps": eps}, options={"axis": axis})
