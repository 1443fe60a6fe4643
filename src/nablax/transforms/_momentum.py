"""Momentum and averages of gradients.

    trace:  m_t = g_t + decay m_{t-1},               u_t = m_t,   or g_t + decay m_t with Nesterov's look ahead
    ema:    m_t = decay m_{t-1} + (1 - decay) g_t,   u_t = m_t / (1 - decay^t) where debiased

Sources: Polyak 1964, doi:10.1016/0041-5553(64)90137-5; Sutskever et al. 2013, proceedings.mlr.press/v28/sutskever13.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from nablax.core import (
    DTYPE,
    FLAG,
    GradientTransformation,
    checked,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
    number,
)


class TraceState(NamedTuple):
    """trace: m_t; structure and shapes of params, dtype `accumulator_dtype` or theirs."""

    trace: Any


class EmaState(NamedTuple):
    """count: updates so far, an int32 scalar. ema: m_t before the bias correction, shaped like params."""

    count: Any
    ema: Any


def _trace(g: jax.Array, trace: jax.Array, *, decay: Any, nesterov: bool) -> tuple[jax.Array, jax.Array]:
    trace = g + decay * trace
    return (g + decay * trace if nesterov else trace), trace


@checked(decay=number(-1, 1), nesterov=FLAG, accumulator_dtype=DTYPE)
def trace(decay: Any, nesterov: bool = False, accumulator_dtype: Any = None) -> GradientTransformation:
    """Accumulates gradients with exponential decay: heavy-ball or Nesterov momentum.

    Args:
      decay: factor on the past, in [-1, 1]; 1 sums up all gradients.
      nesterov: look one step ahead.
      accumulator_dtype: dtype of the accumulator; None follows each parameter's.

    Raises:
      HyperparameterError: decay outside [-1, 1].

    Source: Polyak 1964, doi:10.1016/0041-5553(64)90137-5; Sutskever et al. 2013.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = trace(0.5)
      >>> state = tx.init(jnp.zeros(()))
      >>> for _ in range(3):
      ...     u, state = tx.update(jnp.ones(()), state)
      >>> float(u)
      1.75
    """

    state = fields(TraceState, trace=first_moment(accumulator_dtype))

    return leafwise(_trace, state, hyperparams={"decay": decay}, options={"nesterov": nesterov})


def _ema(g: jax.Array, ema: jax.Array, *, decay: Any, correction: Any) -> tuple[jax.Array, jax.Array]:
    ema = lerp(ema, g, decay)
    return (ema if correction is None else ema / correction), ema


def _ema_correction(count: Any, decay: Any, debias: bool) -> dict[str, Any]:
    return {"correction": 1 - decay**count if debias else None}


@checked(decay=number(0, 1, open_high=True), debias=FLAG, accumulator_dtype=DTYPE)
def ema(decay: Any, debias: bool = True, accumulator_dtype: Any = None) -> GradientTransformation:
    """Replaces gradients by their exponential moving average.

    Args:
      decay: weight of the past, in [0, 1).
      debias: divide by 1 - decay^t, which makes the first average the first gradient.
      accumulator_dtype: dtype of the average in the state; None follows each parameter's.

    Raises:
      HyperparameterError: decay outside [0, 1).

    Source: bias correction as in Kingma & Ba 2015, arXiv:1412.6980.
    """

    state = fields(EmaState, count=count(), ema=first_moment(accumulator_dtype))

    return leafwise(
        _ema, state, hyperparams={"decay": decay}, options={"debias": debias}, scalars=_ema_correction
    )
