"""Polyak's step size: as long as the gap to the optimum asks for.

    u_t = -scaling min((f(p_t) - f_min) / (|g_t|^2 + eps), max_learning_rate) g_t

Sources: Polyak 1987, "Introduction to Optimization"; Loizou et al. 2021, arXiv:2002.10542; Berrada et al. 2020,
arXiv:1906.05661; Garrigos et al. 2023, arXiv:2307.14528 ("sps+").
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
    choice,
    identity,
    leafwise,
    times,
)
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate

_VARIANTS = ("sps", "sps+")


def _square_norm(updates: Any, params: Any) -> dict[str, jax.Array]:
    del params
    return {"square": tree.norm(updates, squared=True)}


def _step(
    square: Any, value: Any, f_min: Any, max_learning_rate: Any, eps: Any, variant: str
) -> dict[str, Any]:
    gap = jnp.asarray(value, square.dtype) - f_min
    if variant == "sps+":
        gap = jnp.maximum(gap, 0.0)
    below = square + eps
    ratio = gap / jnp.where(below > 0, below, 1.0)
    return {"factor": jnp.minimum(jnp.where(below > 0, ratio, 0.0), max_learning_rate)}


@checked(counts=False, variant=choice(*_VARIANTS))
def scale_by_polyak(
    f_min: float = 0.0, max_learning_rate: float = 1.0, eps: float = 0.0, variant: str = "sps"
) -> GradientTransformationExtraArgs:
    """Multiplies gradients by Polyak's step size; `update` needs the loss as `value=`.

    Args:
      f_min: lower bound of the loss.
      max_learning_rate: largest step size, not negative.
      eps: added to the squared norm, not negative.
      variant: "sps", or "sps+", which takes a loss below f_min for f_min.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: an unknown variant; `update` without value.

    Defaults: as in `polyak_sgd`.

    Source: Loizou et al. 2021, arXiv:2002.10542; Garrigos et al. 2023, arXiv:2307.14528.
    """
    return leafwise(
        times,
        hyperparams={"f_min": f_min, "max_learning_rate": max_learning_rate, "eps": eps},
        options={"variant": variant},
        measure=_square_norm,
        scalars=_step,
        extra=("value",),
    )


@checked(counts=False, variant=choice(*_VARIANTS))
def polyak_sgd(
    max_learning_rate: float = 1.0,
    scaling: ScalarOrSchedule = 1.0,
    f_min: float = 0.0,
    eps: float = 0.0,
    variant: str = "sps",
) -> GradientTransformationExtraArgs:
    """Gradient descent with Polyak's step size, for losses whose least value is known; `update` needs `value=`.

    Args:
      max_learning_rate, f_min, eps, variant: as in `scale_by_polyak`.
      scaling: factor of the step; a number, a traced number or a schedule; a negative one ascends.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: an unknown variant; `update` without value.

    Defaults: as in Optax; learning rates above max_learning_rate = 1 are cut.

    Source: Loizou et al. 2021, arXiv:2002.10542.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> tx = polyak_sgd()
      >>> x = jnp.array([1.0, 2.0, 3.0])
      >>> value, grad = jax.value_and_grad(lambda x: jnp.sum(x**2))(x)
      >>> tx.update(grad, tx.init(x), x, value=value)[0]
      Array([-0.5, -1. , -1.5], dtype=float32)
    """
    step = chain(scale_by_polyak(f_min, max_learning_rate, eps, variant), scale_by_learning_rate(scaling))
    return chain(step, identity())  # the layout of Optax's state, in which a chain stands first
