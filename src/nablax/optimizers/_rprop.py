"""Rprop: a step size for each parameter that grows while the gradient keeps its sign.

    eta_t = eta_{t-1} * (eta_plus if g_t s_{t-1} > 0, eta_minus if g_t s_{t-1} < 0, else 1), within its bounds
    s_t   = 0 if g_t s_{t-1} < 0 else sign(g_t) eta_t
    u_t   = -s_t

Real and imaginary parts of complex parameters are two parameters.

Sources: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623; Igel & Huesken 2003, doi:10.1016/S0925-2312(01)00700-7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    REAL,
    GradientTransformation,
    GradientTransformationExtraArgs,
    accumulator,
    as_array,
    chain,
    check_number,
    fields,
    filled_like,
    leafwise,
    number,
    real_dtype,
    statistic,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale


class ScaleByRpropState(NamedTuple):
    """step_sizes: eta_t. prev_updates: s_t. Both like params, at least float32; complex where params are."""

    step_sizes: Any
    prev_updates: Any


def _rprop_real(
    g: Any, eta: Any, s: Any, eta_minus: Any, eta_plus: Any, low: Any, high: Any
) -> tuple[Any, Any]:
    agreement = jnp.sign(g) * jnp.sign(s)
    factor = jnp.where(agreement > 0, eta_plus, jnp.where(agreement < 0, eta_minus, 1.0))
    # Without agreement there is nothing to bound: the first step is the learning rate itself.
    eta = jnp.where(agreement == 0, eta, jnp.clip(eta * factor, low, high))
    return eta, jnp.where(agreement < 0, 0.0, jnp.sign(g) * eta)


def _rprop(
    g: jax.Array, step_sizes: jax.Array, prev_updates: jax.Array, *,
    eta_minus: Any, eta_plus: Any, min_step_size: Any, max_step_size: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    numbers = eta_minus, eta_plus, min_step_size, max_step_size
    if jnp.iscomplexobj(g):
        eta_re, s_re = _rprop_real(g.real, step_sizes.real, prev_updates.real, *numbers)
        eta_im, s_im = _rprop_real(g.imag, step_sizes.imag, prev_updates.imag, *numbers)
        eta, s = jax.lax.complex(eta_re, eta_im), jax.lax.complex(s_re, s_im)
    else:
        eta, s = _rprop_real(g, step_sizes, prev_updates, *numbers)
    return s, eta, s


@checked(learning_rate=number(0), eta_minus=number(0, 1, open_low=True, open_high=True), eta_plus=number(1))
def scale_by_rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> GradientTransformation:
    """Rprop's direction, of the gradient's sign: the step of this gradient, not of the one before.

    Args:
      learning_rate: eta_0, not negative; a number, no schedule.
      eta_minus: factor where the sign changes, in (0, 1).
      eta_plus: factor where it stays, at least 1.
      min_step_size, max_step_size: bounds of eta, positive.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `rprop`.

    Source: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623.
    """

    def first_step(p: Any) -> jax.Array:
        eta = filled_like(p, as_array(learning_rate), real_dtype(p))
        return jax.lax.complex(eta, eta) if jnp.iscomplexobj(p) else eta

    state = fields(
        ScaleByRpropState, step_sizes=statistic(first_step, signed=False), prev_updates=accumulator()
    )
    hyperparams = {
        "eta_minus": eta_minus,
        "eta_plus": eta_plus,
        "min_step_size": min_step_size,
        "max_step_size": max_step_size,
    }
    return leafwise(_rprop, state, hyperparams=hyperparams)


@checked(learning_rate=REAL, eta_minus=number(0, 1, open_low=True, open_high=True), eta_plus=number(1))
def rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> GradientTransformationExtraArgs:
    """Rprop: steps that follow the signs of full-batch gradients, not their sizes.

    Args:
      learning_rate: first step size; a number, no schedule: from then on the steps find their size. A negative one
        ascends.
      eta_minus, eta_plus, min_step_size, max_step_size: as in `scale_by_rprop`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; all are those of the paper.

    Source: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623.
    """
    if isinstance(learning_rate, jax.core.Tracer):
        sign = jnp.where(learning_rate < 0, 1.0, -1.0)
    else:
        check_number("rprop", "learning_rate", learning_rate, single=True)
        sign = 1.0 if learning_rate < 0 else -1.0
    return chain(
        scale_by_rprop(abs(learning_rate), eta_minus, eta_plus, min_step_size, max_step_size), scale(sign)
    )
