"""The nuPI controller: steps by the gradient, and by the change of its moving average.

    xi_t = nu xi_{t-1} + (1 - nu) g_t,   xi_{-1} = g_0
    u_t  = -lr_t (ki g_t + kp (xi_t - xi_{t-1}))

For a Lagrange multiplier, whose own gradient is minus the violation of its constraint, the integral term is gradient
ascent and the proportional term damps: the multiplier stops rising as soon as the violation shrinks, so it does not
overshoot. kp = ki and nu = 0 is the optimistic gradient method; kp = 0 gradient descent.

Source: Sohrabi et al. 2024, arXiv:2406.04558, Algorithm 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    RATE,
    REAL,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
    checked,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
    number,
)
from nablax.transforms import scale_by_learning_rate


class ScaleByNupiState(NamedTuple):
    """count: updates so far, int32. xi: xi_t; structure, shapes and dtypes of params."""

    count: jax.Array  # type: ignore[assignment]
    xi: Any


def _nupi(
    g: jax.Array, xi: jax.Array, *, kp: Any, ki: Any, nu: Any, first: Any
) -> tuple[jax.Array, jax.Array]:
    before = jnp.where(first, g, xi)
    after = lerp(before, g, nu)
    return ki * g + kp * (after - before), after


def _first(count: Any) -> dict[str, Any]:
    return {"first": count == 1}


_STATE = fields(ScaleByNupiState, count=count(), xi=first_moment())


@checked(
    learning_rate=RATE, kp=REAL, ki=number(0, schedule=True), nu=number(-1, 1, open_low=True, open_high=True)
)
def nupi(
    learning_rate: ScalarOrSchedule, *, kp: float = 1.0, ki: float = 1.0, nu: float = 0.0
) -> GradientTransformationExtraArgs:
    """nuPI: proportional and integral control with an averaged error; for Lagrange multipliers, see `lagrangian`.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      kp: weight of the proportional term, any number; larger damps more.
      ki: weight of the integral term, not negative.
      nu: decay of the average of errors, in (-1, 1).

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: ours: proportional and integral control in equal parts, without averaging; the paper tunes kp.

    Source: Sohrabi et al. 2024, arXiv:2406.04558, Algorithm 1.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = nupi(0.1, kp=10.0)
      >>> state = tx.init(jnp.zeros(()))
      >>> for violation in (1.0, 0.8):  # still violated, but less so: the multiplier falls already
      ...     update, state = tx.update(-jnp.array(violation), state)
      >>> round(float(update), 4)
      -0.12
    """
    return chain(
        leafwise(_nupi, _STATE, name="nupi", hyperparams={"kp": kp, "ki": ki, "nu": nu}, scalars=_first),
        scale_by_learning_rate(learning_rate),
    )
