"""Multiplication by a number or a schedule. The minus sign of descent lives here, in `scale_by_learning_rate`."""

from __future__ import annotations

from typing import Any

from nablax.core import (
    FLAG,
    RATE,
    REAL,
    EmptyState,
    GradientTransformation,
    ScalarOrSchedule,
    Schedule,
    checked,
    counting,
    identity,
    leafwise,
    times,
)

ScaleState = EmptyState


def _by_step_size(step_size: Any) -> dict[str, Any]:
    return {"factor": step_size}


def _by_learning_rate(learning_rate: Any, flip_sign: bool) -> dict[str, Any]:
    return {"factor": -learning_rate if flip_sign else learning_rate}


@checked(step_size=REAL)
def scale(step_size: Any) -> GradientTransformation:
    """Multiplies updates by a number: u = step_size * g.

    Args:
      step_size: any real number, traced or not.

    Raises:
      ArgumentError: not a number.
      HyperparameterError: not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> scale(-0.5).update(jnp.ones(2), EmptyState())[0]
      Array([-0.5, -0.5], dtype=float32)
    """
    return leafwise(times, hyperparams={"step_size": step_size}, scalars=_by_step_size)


@checked(step_size_fn=RATE)
def scale_by_schedule(step_size_fn: Schedule) -> GradientTransformation:
    """Multiplies updates by a schedule: u_t = step_size_fn(t) * g_t, t = 0, 1, ...

    The product is formed in at least float32: a rate of 1e-8 survives float16 gradients.

    Args:
      step_size_fn: function of the number of updates so far.

    Raises:
      ArgumentError: not callable.
    """
    return leafwise(
        times, counting(step_size_fn), hyperparams={"step_size": step_size_fn}, scalars=_by_step_size
    )


@checked(learning_rate=RATE, flip_sign=FLAG)
def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule | None = None, *, flip_sign: bool = True
) -> GradientTransformation:
    """Multiplies updates by minus the learning rate: u_t = -lr_t g_t.

    Args:
      learning_rate: a number, a traced number, or a function of the number of updates so far; a negative one ascends.
        None leaves updates as they are, without a change of sign.
      flip_sign: False multiplies by the learning rate itself, to ascend.

    Raises:
      ArgumentError: neither a number nor a function.
      HyperparameterError: not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = scale_by_learning_rate(lambda count: 1.0 / (count + 1))
      >>> state = tx.init(None)
      >>> first, state = tx.update(jnp.ones(()), state)
      >>> second, state = tx.update(jnp.ones(()), state)
      >>> float(first), float(second)
      (-1.0, -0.5)
    """
    if learning_rate is None:
        return identity()
    return leafwise(
        times,
        counting(learning_rate),
        hyperparams={"learning_rate": learning_rate},
        options={"flip_sign": flip_sign},
        scalars=_by_learning_rate,
    )
