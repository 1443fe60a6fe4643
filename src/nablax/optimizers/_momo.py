"""MoMo: momentum, and Adam, with a Polyak-type step size from averaged losses.

    d_t, f_t, y_t = averages of g_t, of the loss, and of <g_t, p_t>, with decay b1
    a = 1 + lr_t weight_decay
    step_t = min(lr_t / rho_t, max(a (f_t - rho_t lb - y_t) + <d_t, p_t>, 0) / |d_t|^2)
    p_{t+1} = (p_t - step_t d_t / D_t) / a

MoMo starts its averages at the first values (rho = 1, D = 1). MoMo-Adam starts at zero: rho_t = 1 - b1^t, D_t is the
bias-corrected root of Adam's second moment plus eps, and |d|^2 is measured in 1 / D_t. The lower bound lb of the loss
may be estimated on the way.

Source: Schaipp et al. 2023, arXiv:2305.07583, Algorithms 1-3 and appendix on weight decay.
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
    abs_sq,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
    plain,
    require_params,
    scalar,
    second_moment,
    with_complement,
)
from nablax.optimizers._arguments import checked
from nablax.optimizers._sums import inner, leaf_sums


class MomoState(NamedTuple):
    """exp_avg: d_t, like params. barf: f_t. gamma: y_t. lb: lower bound; scalars. count: updates so far, int32."""

    exp_avg: Any
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: jax.Array  # type: ignore[assignment]


class MomoAdamState(NamedTuple):
    """As MomoState; exp_avg_sq: Adam's second moment, real, at least float32."""

    exp_avg: Any
    exp_avg_sq: Any
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: jax.Array  # type: ignore[assignment]


def _value(who: str, value: Any, like: Any) -> Any:
    if value is None:
        raise ArgumentError(f"{who} needs the loss. Call update(gradients, state, params, value=loss).")
    return jnp.asarray(value, like.dtype)


def _step(
    loss: Any, product: Any, average: Any, square: Any, growth: Any, rho: Any, lr: Any, lb: Any, lower_bound: Any,
    adapt: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """The step size, and the next lower bound."""
    model = growth * (loss - average) + product
    if adapt:  # a bound above the model is no bound: halve it
        lb = jnp.where(model < growth * rho * lb, jnp.maximum(model / (2 * growth * rho), lower_bound), lb)
    gap = jnp.maximum(model - growth * rho * lb, 0.0)
    step = jnp.minimum(lr / rho, gap / jnp.where(square > 0, square, 1.0))
    if adapt:
        lb = jnp.maximum((loss + product - average - 0.5 * step * square) / rho, lower_bound)
    return step, lb


def _growth(lr: Any, weight_decay: Any) -> Any:
    return 1 + lr * weight_decay


def _apply(p: Any, step: Any, growth: Any, decays: bool) -> Any:
    """(p + step) / growth - p, where the leaf decays."""
    return (step - (growth - 1) * p) / growth if decays else step


def _momo_terms(g: Any, p: Any, exp_avg: Any, beta: Any) -> dict[str, Any]:
    d = lerp(exp_avg, g, beta)
    return {"gradient": inner(g, p), "product": inner(d, p), "square": abs_sq(d)}


def _momo_measure(
    updates: Any,
    params: Any,
    *,
    exp_avg: Any,
    barf: Any,
    gamma: Any,
    count: Any,
    beta: Any,
    value: Any = None,
) -> dict[str, Any]:
    require_params("momo", params)
    value = _value("momo", value, barf)
    decay = jnp.where(count == 0, 0.0, plain(beta))  # the first values start the averages
    sums = leaf_sums(_momo_terms, updates, params, exp_avg, beta=decay)
    average = lerp(gamma, sums["gradient"], decay)
    return {"decay": decay, "loss": lerp(barf, value, decay), "average": average, **sums}


def _momo_scalars(
    decay: Any, loss: Any, average: Any, product: Any, square: Any, lb: Any,
    learning_rate: Any, lower_bound: Any, weight_decay: Any, adapt: bool,
) -> dict[str, Any]:  # fmt: skip
    growth = _growth(learning_rate, weight_decay)
    step, lb = _step(loss, product, average, square, growth, 1.0, learning_rate, lb, lower_bound, adapt)
    return {"barf": loss, "gamma": average, "lb": lb, "decay": decay, "step": step, "growth": growth}


def _momo(
    g: jax.Array, params: jax.Array, exp_avg: jax.Array, *, decay: Any, step: Any, growth: Any, decays: bool
) -> tuple[jax.Array, jax.Array]:
    exp_avg = lerp(exp_avg, g, decay)
    return _apply(params, -step * exp_avg, growth, decays), exp_avg


@checked()
def momo(
    learning_rate: ScalarOrSchedule = 1.0,
    beta: float = 0.9,
    lower_bound: float = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    adapt_lower_bound: bool = False,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Momentum whose step size follows the loss; `update` needs it as `value=`.

    Args:
      learning_rate: largest step size; a number, a traced number or a schedule. A negative one ascends: it
        is the step size, whatever the loss.
      beta: decay of the averages, in [0, 1).
      lower_bound: of the loss.
      weight_decay: both the step and the parameters are divided by 1 + lr weight_decay.
      adapt_lower_bound: estimate the lower bound on the way.
      mask: leaves that decay; see `add_decayed_weights`. The step size is found as if all did.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: `update` without value.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; learning_rate and beta are those of the authors' implementation.

    Source: Schaipp et al. 2023, arXiv:2305.07583.
    """

    state = fields(
        MomoState,
        exp_avg=first_moment(),
        barf=scalar(),
        gamma=scalar(),
        lb=scalar(lower_bound),
        count=count(),
    )
    hyperparams = {
        "learning_rate": learning_rate,
        "beta": beta,
        "lower_bound": lower_bound,
        "weight_decay": weight_decay,
    }
    return leafwise(
        _momo,
        state,
        hyperparams=hyperparams,
        options={"adapt": adapt_lower_bound},
        measure=_momo_measure,
        scalars=_momo_scalars,
        flags={"decays": mask},
        extra=("value",),
    )


def _preconditioner(g: Any, exp_avg_sq: Any, b2: Any, c2: Any, eps: Any) -> tuple[Any, Any]:
    exp_avg_sq = lerp(exp_avg_sq, abs_sq(g), b2)
    return exp_avg_sq, jnp.sqrt(exp_avg_sq / c2) + eps


def _adam_terms(
    g: Any, p: Any, exp_avg: Any, exp_avg_sq: Any, b1: Any, b2: Any, c2: Any, eps: Any
) -> dict[str, Any]:
    d = lerp(exp_avg, g, b1)
    _, root = _preconditioner(g, exp_avg_sq, b2, c2, eps)
    square = abs_sq(d)
    return {
        "gradient": inner(g, p),
        "product": inner(d, p),
        "square": jnp.where(square > 0, square / jnp.where(root > 0, root, 1.0), 0.0),
    }


def _adam_measure(
    updates: Any, params: Any, *, exp_avg: Any, exp_avg_sq: Any, barf: Any, gamma: Any, count: Any,
    b1: Any, b2: Any, eps: Any, value: Any = None,
) -> dict[str, Any]:  # fmt: skip
    require_params("momo_adam", params)
    value = _value("momo_adam", value, barf)
    c2 = 1 - b2 ** (count + 1)
    decays = {"b1": with_complement(b1), "b2": with_complement(b2)}
    sums = leaf_sums(_adam_terms, updates, params, exp_avg, exp_avg_sq, **decays, c2=c2, eps=eps)
    average = lerp(gamma, sums["gradient"], b1)
    return {"c2": c2, "rho": 1 - b1 ** (count + 1), "loss": lerp(barf, value, b1), "average": average, **sums}


def _adam_scalars(
    rho: Any, loss: Any, average: Any, product: Any, square: Any, lb: Any,
    learning_rate: Any, lower_bound: Any, weight_decay: Any, adapt: bool,
) -> dict[str, Any]:  # fmt: skip
    growth = _growth(learning_rate, weight_decay)
    step, lb = _step(loss, product, average, square, growth, rho, learning_rate, lb, lower_bound, adapt)
    return {"barf": loss, "gamma": average, "lb": lb, "step": step, "growth": growth}


def _momo_adam(
    g: jax.Array, params: jax.Array, exp_avg: jax.Array, exp_avg_sq: jax.Array, *,
    b1: Any, b2: Any, eps: Any, c2: Any, step: Any, growth: Any, decays: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    exp_avg = lerp(exp_avg, g, b1)
    exp_avg_sq, root = _preconditioner(g, exp_avg_sq, b2, c2, eps)
    return _apply(params, -step * exp_avg / root, growth, decays), exp_avg, exp_avg_sq


@checked()
def momo_adam(
    learning_rate: ScalarOrSchedule = 1e-2,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    lower_bound: float = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    adapt_lower_bound: bool = False,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Adam whose step size follows the loss; `update` needs it as `value=`.

    Args:
      learning_rate: largest step size; a number, a traced number or a schedule. A negative one ascends: it
        is the step size, whatever the loss.
      b1, b2: decays of the moments, in [0, 1).
      eps: added to the root, positive where gradients may vanish.
      lower_bound, weight_decay, adapt_lower_bound, mask: as in `momo`.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: `update` without value.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; learning_rate is that of the authors' implementation, b1, b2 and eps are Adam's.

    Source: Schaipp et al. 2023, arXiv:2305.07583.
    """

    state = fields(
        MomoAdamState,
        exp_avg=first_moment(),
        exp_avg_sq=second_moment(),
        barf=scalar(),
        gamma=scalar(),
        lb=scalar(lower_bound),
        count=count(),
    )
    hyperparams = {
        "learning_rate": learning_rate,
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "lower_bound": lower_bound,
        "weight_decay": weight_decay,
    }
    return leafwise(
        _momo_adam,
        state,
        hyperparams=hyperparams,
        options={"adapt": adapt_lower_bound},
        measure=_adam_measure,
        scalars=_adam_scalars,
        flags={"decays": mask},
        extra=("value",),
    )
