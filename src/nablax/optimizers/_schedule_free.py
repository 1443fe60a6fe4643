"""Schedule-free learning: interpolation and averaging in the place of a decaying learning rate.

    z_{t+1} = z_t + base update at y_t
    x_{t+1} = (1 - c_t) x_t + c_t z_{t+1},   c_t = w_t / sum_{s <= t} w_s,   w_t = (max_{s <= t} |lr_s|)^weight_lr_power
    y_{t+1} = b1 x_{t+1} + (1 - b1) z_{t+1}

The parameters are y, where gradients are taken; x is what to evaluate, and is found from y and z.

Source: Defazio et al. 2024, arXiv:2405.15682.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    ArgumentError,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    accumulator,
    as_array,
    chain,
    count,
    fields,
    inner_state,
    leafwise,
    number,
    point,
    require_params,
    safe_increment,
    scalar,
    with_extra_args_support,
    wrapper,
)
from nablax.optimizers._arguments import checked
from nablax.optimizers._rmsprop import scale_by_rms
from nablax.optimizers._sgd import sgd
from nablax.schedules import warmup_constant_schedule
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class ScheduleFreeState(NamedTuple):
    """State of `schedule_free`; its scalars are held in at least float32, z in `state_dtype`.

    b1. weight_sum: of the weights so far. step_count: updates so far, int32. max_lr: largest learning rate so far.
    base_optimizer_state. z: z_t, like params.
    """

    b1: jax.Array
    weight_sum: jax.Array
    step_count: jax.Array
    max_lr: jax.Array
    base_optimizer_state: Any
    z: Any


def _interpolate(
    u: jax.Array, params: jax.Array, z: jax.Array, *, b1: Any, old: Any, c: Any
) -> tuple[jax.Array, jax.Array]:
    x = (params - (1 - old) * z) / old
    z = z + u
    x = (1 - c) * x + c * z
    return b1 * x + (1 - b1) * z - params, z


class _Averaged(NamedTuple):
    z: Any


_WEIGHT = number(0, 1, open_low=True)


@checked(b1=_WEIGHT)
def schedule_free(
    base_optimizer: Any,
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
) -> GradientTransformationExtraArgs:
    """Makes an optimizer without momentum of its own schedule-free.

    Args:
      base_optimizer: the optimizer, its learning rate included.
      learning_rate: that rate again; a number or a schedule of the updates so far, from 0. Its size weighs the average.
      b1: weight of the average in the point where gradients are taken, in (0, 1].
      weight_lr_power: power of the learning rate in the weights of the average; not negative.
      state_dtype: dtype of z; None follows each parameter's.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1 and weight_lr_power are those of the authors' implementation.

    Source: Defazio et al. 2024, arXiv:2405.15682.
    """
    return _schedule_free("schedule_free", base_optimizer, learning_rate, b1, weight_lr_power, state_dtype)


def _schedule_free(
    who: str, base_optimizer: Any, learning_rate: Any, b1: Any, weight_lr_power: Any, state_dtype: Any
) -> GradientTransformationExtraArgs:
    base = with_extra_args_support(base_optimizer)
    # The last part of the work is one rule, whose state is a piece of this transformation's.
    mix = leafwise(
        _interpolate, fields(_Averaged, z=accumulator()), name="schedule_free", extra=("b1", "old", "c")
    )

    init = fields(
        ScheduleFreeState,
        b1=scalar(lambda params: as_array(b1)),
        weight_sum=scalar(),
        step_count=count(),
        max_lr=scalar(),
        base_optimizer_state=inner_state(base),
        z=point(copy=True, dtype=state_dtype),
    )

    def update(
        updates: Any, state: ScheduleFreeState, params: Any = None, **extra: Any
    ) -> tuple[Any, ScheduleFreeState]:
        require_params(who, params)
        rate = learning_rate(state.step_count) if callable(learning_rate) else as_array(learning_rate)
        max_lr = jnp.maximum(state.max_lr, jnp.abs(jnp.asarray(rate, state.max_lr.dtype)))
        weight = max_lr ** as_array(weight_lr_power)
        new_b1 = jnp.asarray(as_array(b1), state.b1.dtype)
        weight_sum = state.weight_sum + weight
        c = jnp.where(weight_sum > 0, weight / jnp.where(weight_sum > 0, weight_sum, 1.0), 0.0)
        updates, base_state = base.update(updates, state.base_optimizer_state, params, **extra)
        updates, averaged = mix.update(updates, _Averaged(state.z), params, b1=new_b1, old=state.b1, c=c)
        steps = safe_increment(state.step_count)
        return updates, ScheduleFreeState(new_b1, weight_sum, steps, max_lr, base_state, averaged.z)

    return wrapper(
        init,
        update,
        {"base_optimizer": base},
        {"base_optimizer": ("base_optimizer_state",)},
        count=("step_count",),
    )


def schedule_free_eval_params(state: Any, params: Any) -> Any:
    """The averaged parameters x, at which to evaluate: x = (y - (1 - b1) z) / b1.

    Args:
      state: state of a schedule-free optimizer, by itself or somewhere within the state of a chain.
      params: its parameters y.

    Returns:
      Tree like params.

    Raises:
      ArgumentError: the state holds no ScheduleFreeState.

    Source: Defazio et al. 2024, arXiv:2405.15682.
    """

    def is_state(x: Any) -> bool:
        return all(hasattr(x, name) for name in ("b1", "z", "weight_sum"))

    found = [x for x in jax.tree.leaves(state, is_leaf=is_state) if is_state(x)]
    if not found:
        raise ArgumentError(
            f"schedule_free_eval_params: state holds no ScheduleFreeState, got {type(state).__name__}."
        )
    b1 = found[0].b1

    def leaf(y: Any, z: Any) -> jax.Array:
        y = jnp.asarray(y)
        return ((y - (1 - b1) * z) / b1).astype(y.dtype)

    return jax.tree.map(leaf, params, found[0].z)


def _warmed_up(who: str, learning_rate: Any, warmup_steps: int | None) -> Any:
    if warmup_steps and callable(learning_rate):
        raise ArgumentError(
            f"{who}: learning_rate must be a number where warmup_steps are given, got {learning_rate!r}."
        )
    return warmup_constant_schedule(0.0, learning_rate, warmup_steps) if warmup_steps else learning_rate


@checked(b1=_WEIGHT)
def schedule_free_sgd(
    learning_rate: float = 1.0,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    weight_decay: float | None = None,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free gradient descent.

    Args:
      learning_rate: reached after warmup_steps; without these, a schedule too. A negative one ascends.
      warmup_steps: length of a linear warm-up from 0; None has none.
      b1, weight_lr_power, state_dtype: as in `schedule_free`.
      weight_decay: added to the gradient.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; learning_rate, b1 and weight_lr_power are those of the authors' implementation.

    Source: Defazio et al. 2024, arXiv:2405.15682.
    """
    rate = _warmed_up("schedule_free_sgd", learning_rate, warmup_steps)
    base = sgd(rate)
    if weight_decay is not None:
        base = chain(add_decayed_weights(weight_decay, mask), base)
    return _schedule_free("schedule_free_sgd", base, rate, b1, weight_lr_power, state_dtype)


@checked(b1=_WEIGHT)
def schedule_free_adamw(
    learning_rate: float = 0.0025,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free AdamW, whose first moment is replaced by the averaging.

    Args:
      learning_rate: reached after warmup_steps; without these, a schedule too. A negative one ascends.
      warmup_steps: length of a linear warm-up from 0; None has none.
      b1, weight_lr_power, state_dtype: as in `schedule_free`.
      b2, eps: decay of the second moment, in [0, 1), and what is added to its root.
      weight_decay: multiplied by the learning rate.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; learning_rate, b1, b2, eps and weight_lr_power are those of the authors' implementation.

    Source: Defazio et al. 2024, arXiv:2405.15682.
    """
    rate = _warmed_up("schedule_free_adamw", learning_rate, warmup_steps)
    base = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(rate),
    )
    return _schedule_free("schedule_free_adamw", base, rate, b1, weight_lr_power, state_dtype)
