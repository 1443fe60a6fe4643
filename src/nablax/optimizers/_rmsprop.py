"""RMSProp: gradients over the root of a moving average of their squares.

    v_t = decay v_{t-1} + (1 - decay) |g_t|^2
    d_t = g_t / sqrt(v_t + eps)                          eps inside the root, or  g_t / (sqrt(v_t) + eps)
    centered:  v_t - |m_t|^2 in the place of v_t, with m_t = decay m_{t-1} + (1 - decay) g_t

Sources: Tieleman & Hinton 2012, Coursera lecture 6.5; Graves 2013, arXiv:1308.0850 (centered).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    abs_sq,
    accumulator,
    chain,
    count,
    fields,
    identity,
    leafwise,
    lerp,
    second_moment,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate, trace


class ScaleByRmsState(NamedTuple):
    """nu: v_t; shapes of params, real, at least float32."""

    nu: Any


class ScaleByRmsWithCountState(NamedTuple):
    """count: updates so far, int32. nu: as in ScaleByRmsState."""

    count: Any
    nu: Any


class ScaleByRStdDevState(NamedTuple):
    """mu: m_t, like params, at least float32. nu: v_t, real, at least float32."""

    mu: Any
    nu: Any


class ScaleByRStdDevWithCountState(NamedTuple):
    """count: updates so far, int32. mu, nu: as in ScaleByRStdDevState."""

    count: Any
    mu: Any
    nu: Any


def _over_root(g: jax.Array, v: jax.Array, eps: Any, eps_in_sqrt: bool) -> jax.Array:
    return g * jax.lax.rsqrt(v + eps) if eps_in_sqrt else g / (jnp.sqrt(v) + eps)


def _rms(
    g: jax.Array, nu: jax.Array, *, decay: Any, eps: Any, eps_in_sqrt: bool, correction: Any
) -> tuple[jax.Array, jax.Array]:
    nu = lerp(nu, abs_sq(g), decay)
    return _over_root(g, nu if correction is None else nu / correction, eps, eps_in_sqrt), nu


def _stddev(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, decay: Any, eps: Any, eps_in_sqrt: bool, correction: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mu, nu = lerp(mu, g, decay), lerp(nu, abs_sq(g), decay)
    m, v = (mu, nu) if correction is None else (mu / correction, nu / correction)
    # Rounding can leave a variance below zero where gradients are constant.
    return _over_root(g, jnp.maximum(v - abs_sq(m), 0.0), eps, eps_in_sqrt), mu, nu


def _correction(decay: Any, count: Any = None) -> dict[str, Any]:
    return {"correction": None if count is None else 1 - decay**count}


@checked()
def scale_by_rms(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divides gradients by the root of a moving average of their squares.

    Args:
      decay: of the average, in [0, 1).
      eps: not negative.
      initial_scale: v_0, not negative.
      eps_in_sqrt: add eps inside the root (TensorFlow's habit) or after it (PyTorch's).
      bias_correction: divide the average by 1 - decay^t; the state then counts.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; decay = 0.9 is that of the lecture.

    Source: Tieleman & Hinton 2012, Coursera lecture 6.5.
    """

    nu = second_moment(fill=initial_scale)
    state = fields(ScaleByRmsState, nu=nu)
    if bias_correction:
        state = fields(ScaleByRmsWithCountState, count=count(), nu=nu)

    return leafwise(
        _rms,
        state,
        hyperparams={"decay": decay, "eps": eps},
        options={"eps_in_sqrt": eps_in_sqrt},
        scalars=_correction,
    )


@checked()
def scale_by_stddev(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divides gradients by a moving estimate of their standard deviation.

    Args:
      decay, eps, initial_scale, eps_in_sqrt, bias_correction: as in `scale_by_rms`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; decay as in `scale_by_rms`.

    Source: Graves 2013, arXiv:1308.0850, equations 38-45.
    """

    roles = {"mu": accumulator(), "nu": second_moment(fill=initial_scale)}
    state = fields(ScaleByRStdDevState, **roles)
    if bias_correction:
        state = fields(ScaleByRStdDevWithCountState, count=count(), **roles)
    return leafwise(
        _stddev,
        state,
        hyperparams={"decay": decay, "eps": eps},
        options={"eps_in_sqrt": eps_in_sqrt},
        scalars=_correction,
    )


@checked()
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformationExtraArgs:
    """RMSProp, centered and with momentum where asked.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      decay, eps, initial_scale, eps_in_sqrt, bias_correction: as in `scale_by_rms`.
      centered: divide by the standard deviation instead of the root mean square.
      momentum: weight of past steps, in [0, 1]; None keeps none.
      nesterov: Nesterov's form of the momentum.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; decay = 0.9 is that of the lecture. torch.optim has 0.99.

    Source: Tieleman & Hinton 2012, Coursera lecture 6.5; Graves 2013, arXiv:1308.0850.
    """
    by = scale_by_stddev if centered else scale_by_rms
    return chain(
        by(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_learning_rate(learning_rate),
        identity() if momentum is None else trace(momentum, nesterov),
    )
