"""Adafactor: second moments of matrices kept as one row and one column.

    G = |g_t|^2 + eps,   decay_t = 1 - t^-decay_rate
    r_t = decay_t r_{t-1} + (1 - decay_t) mean of G over the largest axis
    c_t = decay_t c_{t-1} + (1 - decay_t) mean of G over the second largest axis
    d_t = g_t / sqrt(r_t c_t / mean(r_t))
    u_t = -lr_t max(rms(p_t), 1e-3) clip(d_t) - weight_decay_rate p_t,   clip(d) = d / max(1, rms(d) / threshold)

Arrays whose second largest axis is short keep a full second moment.

Source: Shazeer & Stern 2018, arXiv:1804.04235, Algorithms 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    REAL,
    Field,
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    abs_sq,
    chain,
    check_number,
    count,
    fields,
    filled_like,
    leafwise,
    lerp,
    number,
    statistic,
)
from nablax.optimizers._arguments import checked, one_of
from nablax.transforms import (
    add_decayed_weights,
    clip_by_block_rms,
    ema,
    scale,
    scale_by_learning_rate,
    scale_by_param_block_rms,
)
from nablax.tree import at_least_float32


class FactoredState(NamedTuple):
    """Second moments, real, at least float32; a zero of shape (1,) stands where a leaf has no such part.

    count: updates so far, int32.
    v_row, v_col: of factored leaves, their shape without the largest axis, and without the second largest.
    v: of the other leaves, their shape.
    """

    count: jax.Array  # type: ignore[assignment]
    v_row: Any
    v_col: Any
    v: Any


def _factored_axes(shape: tuple[int, ...], least: int) -> tuple[int, int] | None:
    """The largest and the second largest axis, where the latter is long enough to factor."""
    if len(shape) < 2:
        return None
    order = np.argsort(shape, kind="stable")
    return (int(order[-1]), int(order[-2])) if shape[order[-2]] >= least else None


def _statistic(name: str, least: int) -> Field:
    """The field of this name: zeros of its shape for a leaf."""

    def make(p: Any) -> jax.Array:
        shape, dtype = jnp.shape(p), at_least_float32(jnp.result_type(p))
        dtype = jnp.finfo(dtype).dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.float32
        axes = _factored_axes(shape, least)
        if (name == "v") != (axes is None):
            return filled_like(np.zeros(1), 0, dtype)
        return filled_like(p, 0, dtype, () if axes is None else (axes[0 if name == "v_row" else 1],))

    return statistic(make, signed=False)


def _factored_rms(
    g: jax.Array, v_row: jax.Array, v_col: jax.Array, v: jax.Array, *, decay: Any, epsilon: Any, least: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    square = abs_sq(g) + epsilon
    axes = _factored_axes(g.shape, least)
    if axes is None:
        v = lerp(v, square, decay)
        return g * jax.lax.rsqrt(v), v_row, v_col, v
    largest, second = axes
    v_row = lerp(v_row, jnp.mean(square, largest), decay)
    v_col = lerp(v_col, jnp.mean(square, second), decay)
    kept = second - (second > largest)  # the second largest axis within v_row
    row = jax.lax.rsqrt(v_row / jnp.mean(v_row, kept, keepdims=True))
    direction = g * jnp.expand_dims(row, largest) * jnp.expand_dims(jax.lax.rsqrt(v_col), second)
    return direction, v_row, v_col, v


def _power_decay(step: jax.Array, decay_rate: Any) -> jax.Array:
    return 1.0 - (step + 1.0) ** -decay_rate


def _decay(
    count: jax.Array, decay_rate: Any, step_offset: Any, decay_rate_fn: Callable[..., Any]
) -> dict[str, Any]:
    return {"decay": decay_rate_fn(count - 1 - step_offset, decay_rate)}


@checked(step_offset=number(integer=True))
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: float = 1e-30,
    decay_rate_fn: Callable[[Any, Any], Any] = _power_decay,
) -> GradientTransformation:
    """Divides gradients by the root of a factored average of their squares.

    Args:
      factored: False keeps full second moments.
      decay_rate: exponent of the decay's approach to 1, not negative.
      step_offset: updates of an earlier run that do not count for the decay.
      min_dim_size_to_factor: least length of the two largest axes for a leaf to be factored.
      epsilon: added to squares, not negative.
      decay_rate_fn: `f(step, decay_rate)`, step from 0, returns the decay; a module-level function compiles once.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; decay_rate and epsilon as in `adafactor`.

    Source: Shazeer & Stern 2018, arXiv:1804.04235; for bounded decays Zhai et al. 2021, arXiv:2106.04560.
    """
    least = max(int(min_dim_size_to_factor), 1) if factored else np.iinfo(np.int64).max

    parts = {name: _statistic(name, least) for name in ("v_row", "v_col", "v")}
    state = fields(FactoredState, count=count(), **parts)
    return leafwise(
        _factored_rms,
        state,
        hyperparams={"decay_rate": decay_rate, "epsilon": epsilon, "step_offset": step_offset},
        options={"least": int(least), "decay_rate_fn": decay_rate_fn},
        scalars=_decay,
    )


def _flag_or_number(who: str, name: str, value: Any, optional: bool) -> None:
    if not isinstance(value, bool | np.bool_):  # Optax declares a float and reads it as a bool
        REAL(who, name, value, optional)


@checked(
    momentum=number(0, 1, open_high=True),
    clipping_threshold=number(1, infinite=True),
    decay_offset=number(integer=True),
    multiply_by_parameter_scale=_flag_or_number,
)
def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool | float = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    dtype_momentum: Any = jnp.float32,
    weight_decay_rate: ScalarOrSchedule | None = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: MaskOrFn | None = None,
    *,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Adafactor: adaptive steps with a memory of rows and columns only.

    Args:
      learning_rate: a number, a traced number or a schedule; None is 1, a negative one ascends. It is relative to
        the size of the parameters unless `multiply_by_parameter_scale` is False.
      min_dim_size_to_factor, decay_rate, eps, factored: as in `scale_by_factored_rms`.
      decay_offset: its step_offset.
      multiply_by_parameter_scale: multiply each leaf by the root mean square of its parameters.
      clipping_threshold: bound on each leaf's root mean square, at least 1; None does not clip.
      momentum: decay of an average of the steps, in [0, 1); None keeps none.
      dtype_momentum: dtype of that average.
      weight_decay_rate, weight_decay: not multiplied by the learning rate. Two names of one argument.
      weight_decay_mask, mask: leaves that decay; see `add_decayed_weights`. Two names of one argument.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; decay_rate, clipping_threshold and eps, its eps_1, are those that the paper proposes.

    Source: Shazeer & Stern 2018, arXiv:1804.04235.
    """
    decay = one_of("adafactor", weight_decay_rate=weight_decay_rate, weight_decay=weight_decay)
    decays = one_of("adafactor", weight_decay_mask=weight_decay_mask, mask=mask)
    links: list[Any] = [
        scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    ]
    if clipping_threshold is not None:
        check_number("adafactor", "clipping_threshold", clipping_threshold, 1)
        links.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        links.append(scale_by_learning_rate(learning_rate, flip_sign=False))
    if multiply_by_parameter_scale:
        links.append(scale_by_param_block_rms())
    if momentum is not None:
        links.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if decay is not None:
        links.append(add_decayed_weights(decay, decays))
    return chain(*links, scale(-1.0))
