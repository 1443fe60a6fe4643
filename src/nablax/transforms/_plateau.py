"""A learning rate that falls when a metric stops improving.

improved:   mean < best - (rtol |best| + atol)
rate:       scale <- max(min_scale, factor scale)   after `patience` values in a row without improvement
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from nablax.core import (
    COUNT,
    GradientTransformationExtraArgs,
    HyperparameterError,
    checked,
    count,
    fields,
    leafwise,
    number,
    scalar,
    times,
)


class ReduceLROnPlateauState(NamedTuple):
    """The state of `reduce_on_plateau`; all fields are scalars.

    Attributes:
      scale: factor on the updates, at least float32.
      best_value: least mean so far, at least float32.
      plateau_count: means in a row without improvement, int32.
      cooldown_count: means still to wait for, int32.
      count: values in the current mean, int32.
      avg_value: their mean, at least float32.
    """

    scale: Any
    best_value: Any
    plateau_count: Any
    cooldown_count: Any
    count: Any
    avg_value: Any


def _watch(
    scale: Any, best_value: Any, plateau_count: Any, cooldown_count: Any, count: Any, avg_value: Any, value: Any,
    reduction: Any, patience: Any, rtol: Any, atol: Any, cooldown: Any, accumulation_size: Any, min_scale: Any,
) -> dict[str, Any]:  # fmt: skip
    """The next state; only a full mean is looked at."""
    mean = avg_value + (value - avg_value) / count
    full = count >= accumulation_size
    margin = jnp.where(jnp.isinf(best_value), 0.0, rtol * jnp.abs(best_value)) + atol
    improved = mean < best_value - margin
    cooling = cooldown_count > 0
    plateau = jnp.where(improved | cooling, 0, plateau_count + 1)
    reduce = plateau >= jnp.maximum(patience, 1)
    cooldown_next = jnp.where(reduce, cooldown, jnp.maximum(cooldown_count - 1, 0))
    if_full: dict[str, Any] = {
        "scale": jnp.where(reduce, jnp.maximum(scale * reduction, min_scale), scale),
        "best_value": jnp.where(improved, mean, best_value),
        "plateau_count": jnp.where(reduce, 0, plateau),
        "cooldown_count": cooldown_next,
        "count": 0,
        "avg_value": 0.0,
    }
    otherwise = {
        "scale": scale,
        "best_value": best_value,
        "plateau_count": plateau_count,
        "cooldown_count": cooldown_count,
        "count": count,
        "avg_value": mean,
    }
    now = {"scale": scale, "best_value": best_value, "avg_value": avg_value}
    new = {
        k: jnp.where(full, if_full[k], v).astype(jnp.result_type(now.get(k, jnp.int32)))
        for k, v in otherwise.items()
    }
    return {**new, "factor": new["scale"]}


_WHOLE = number(0, integer=True)


@checked(
    factor=number(0, 1, open_low=True, open_high=True),
    patience=_WHOLE,
    rtol=number(0, 1),
    atol=number(0),
    cooldown=_WHOLE,
    accumulation_size=COUNT,
    min_scale=number(0),
)
def reduce_on_plateau(
    factor: float = 0.1,
    patience: Any = 10,
    rtol: float = 1e-4,
    atol: float = 0.0,
    cooldown: Any = 0,
    accumulation_size: Any = 1,
    min_scale: Any = 0.0,
) -> GradientTransformationExtraArgs:
    """Scales updates by a factor that falls whenever a metric has stopped improving.

    Hand the metric, which is to fall and may be negative, to every update:
    `tx.update(grads, state, params, value=loss)`.

    Args:
      factor: what a reduction multiplies the scale by, in (0, 1).
      patience: values in a row without improvement before a reduction.
      rtol: relative margin of an improvement, in [0, 1]; of the best value's size, whatever its sign.
      atol: absolute margin, not negative. One of the two margins must be positive.
      cooldown: values after a reduction that are not counted.
      accumulation_size: values averaged to one; 1 for an evaluation metric, more for the losses of batches.
      min_scale: the scale does not fall below, not negative.

    Returns:
      A transformation whose `update` needs the extra argument `value`.

    Raises:
      ArgumentError: `update` without `value`.
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; factor, patience and rtol are those of torch.optim.lr_scheduler.ReduceLROnPlateau.

    Example:
      >>> from nablax.optimizers import sgd
      >>> from nablax.core import chain
      >>> tx = chain(sgd(1.0), reduce_on_plateau(factor=0.5, patience=2))
      >>> state = tx.init(jnp.ones(()))
      >>> for loss in [3.0, 3.0, 3.0]:
      ...     updates, state = tx.update(jnp.ones(()), state, value=loss)
      >>> print(updates)
      -0.5
    """
    who = "reduce_on_plateau"
    if isinstance(rtol, int | float) and isinstance(atol, int | float) and rtol == atol == 0:
        raise HyperparameterError(f"{who}: rtol or atol must be positive, got 0 for both.")

    state = fields(
        ReduceLROnPlateauState,
        scale=scalar(1.0),
        best_value=scalar(math.inf),
        plateau_count=count(),
        cooldown_count=count(),
        count=count(),
        avg_value=scalar(0.0),
    )
    return leafwise(
        times,
        state,
        hyperparams={
            "reduction": factor,
            "patience": patience,
            "rtol": rtol,
            "atol": atol,
            "cooldown": cooldown,
            "accumulation_size": accumulation_size,
            "min_scale": min_scale,
        },
        scalars=_watch,
        extra=("value",),
    )
