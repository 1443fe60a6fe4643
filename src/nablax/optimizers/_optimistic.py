"""Optimistic gradients: the last change of the gradient is expected to come again.

    u_t = (alpha + beta) g_t - beta g_{t-1},   g_0 = g_1

In games it goes straight to the equilibrium that plain gradient steps circle around. Optimistic Adam does it to
Adam's direction r_t: step -lr_t r_t - o (r_t - r_{t-1}).

Sources: Popov 1980, doi:10.1007/BF01141092; Mokhtari et al. 2019, arXiv:1901.08511; Daskalakis et al. 2018,
arXiv:1711.00141.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
    count,
    fields,
    first_moment,
    flag,
    leafwise,
    number,
)
from nablax.optimizers._adam import scale_by_adam
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


class ScaleByOptimisticGradientState(NamedTuple):
    """is_initial_step: bool scalar. previous_gradient: g_{t-1}, like params."""

    is_initial_step: jax.Array
    previous_gradient: Any


class ScaleByOptimisticGradientWithCountState(NamedTuple):
    """The same where alpha or beta is a schedule of `count`, the updates so far."""

    count: jax.Array  # type: ignore[assignment]
    is_initial_step: jax.Array
    previous_gradient: Any


def _optimistic(
    g: jax.Array, previous_gradient: jax.Array, *, alpha: Any, beta: Any, first: Any
) -> tuple[jax.Array, jax.Array]:
    previous = jnp.where(first, g, previous_gradient)
    return (alpha + beta) * g - beta * previous, g


def _begin(is_initial_step: jax.Array) -> dict[str, Any]:
    return {"first": is_initial_step, "is_initial_step": jnp.zeros((), bool)}


_SIGNED = number(schedule=True)


@checked(alpha=_SIGNED, beta=_SIGNED)
def scale_by_optimistic_gradient(
    alpha: ScalarOrSchedule = 1.0, beta: ScalarOrSchedule = 1.0
) -> GradientTransformation:
    """Optimistic gradients: (alpha + beta) g_t - beta g_{t-1}.

    Args:
      alpha: weight of the gradient; a number, or a schedule of the updates so far.
      beta: weight of its last change; a number, or a schedule.

    Raises:
      HyperparameterError: not finite.

    Defaults: as in `optimistic_gradient_descent`.

    Source: Mokhtari et al. 2019, arXiv:1901.08511.
    """

    roles = {"is_initial_step": flag(True), "previous_gradient": first_moment()}
    state = fields(ScaleByOptimisticGradientState, **roles)
    if callable(alpha) or callable(beta):
        state = fields(ScaleByOptimisticGradientWithCountState, count=count(), **roles)
    return leafwise(_optimistic, state, hyperparams={"alpha": alpha, "beta": beta}, scalars=_begin)


@checked(alpha=_SIGNED, beta=_SIGNED)
def optimistic_gradient_descent(
    learning_rate: ScalarOrSchedule, alpha: ScalarOrSchedule = 1.0, beta: ScalarOrSchedule = 1.0
) -> GradientTransformationExtraArgs:
    """Optimistic gradient descent: extra-gradient's convergence in games at one gradient a step.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      alpha, beta: as in `scale_by_optimistic_gradient`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; alpha = beta = 1 is the method of the paper.

    Source: Mokhtari et al. 2019, arXiv:1901.08511.
    """
    return chain(scale_by_optimistic_gradient(alpha, beta), scale_by_learning_rate(learning_rate))


@checked()
def optimistic_adam(
    learning_rate: ScalarOrSchedule,
    optimism: ScalarOrSchedule | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """Adam with optimism, for games such as the training of GANs.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      optimism: step along the last change of the direction, of the learning rate's sign; a number, a schedule, or None
        for the learning rate, as in the paper.
      b1, b2, eps, eps_root, mu_dtype, nesterov: as in `scale_by_adam`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b1, b2 and eps are Adam's.

    Source: Daskalakis et al. 2018, arXiv:1711.00141, Algorithm 1.
    """
    if optimism is None:
        return optimistic_adam_v2(
            learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root, mu_dtype=mu_dtype, nesterov=nesterov
        )
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_optimistic_gradient(learning_rate, optimism),
        scale_by_learning_rate(1.0),
    )


@checked(alpha=_SIGNED, beta=_SIGNED)
def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: ScalarOrSchedule = 1.0,
    beta: ScalarOrSchedule = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """`optimistic_adam` with its optimism relative to the learning rate.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      alpha, beta: as in `scale_by_optimistic_gradient`.
      b1, b2, eps, eps_root, mu_dtype, nesterov: as in `scale_by_adam`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b1, b2 and eps are Adam's, alpha = beta = 1 is the optimism of the paper.

    Source: Daskalakis et al. 2018, arXiv:1711.00141, Algorithm 1.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_optimistic_gradient(alpha, beta),
        scale_by_learning_rate(learning_rate),
    )
