"""Distance over gradients: step sizes from how far the parameters went and how large the gradients were.

    DoG:   r_t = max(r_{t-1}, |p_t - p_0|),    G_t = G_{t-1} + |g_t|^2,         step r_t / sqrt(G_t + eps)
    DoWG:  r_t^2 likewise,                     G_t = G_{t-1} + r_t^2 |g_t|^2,   step r_t^2 / (sqrt(G_t) + eps)
    Layer-wise DoG: DoG with the norms of each leaf by itself.

Sources: Ivgi et al. 2023, arXiv:2302.12022; Khaled et al. 2023, arXiv:2305.16284.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    ArgumentError,
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    abs_sq,
    as_array,
    chain,
    fields,
    flag,
    identity,
    leafwise,
    number,
    require_params,
    scalar,
    snapshot,
    statistic,
    times,
)
from nablax.optimizers._arguments import checked
from nablax.optimizers._sums import leaf_sums
from nablax.transforms import add_decayed_weights, scale_by_learning_rate

_INIT_STEPS = ("distance", "learning_rate", "heuristic")


class DoGState(NamedTuple):
    """is_init_step: bool. init_params: p_0, at least float32. max_dist: r. sum_sq_norm_grads: G; both scalars."""

    is_init_step: jax.Array
    init_params: Any
    max_dist: jax.Array
    sum_sq_norm_grads: jax.Array


class DoWGState(NamedTuple):
    """init_params: p_0, at least float32. weighted_sq_norm_grads: G. estim_sq_dist: r^2; both scalars."""

    init_params: Any
    weighted_sq_norm_grads: jax.Array
    estim_sq_dist: jax.Array


class ScaleByDistanceOverGradientsState(NamedTuple):
    """max_dist, grad_sum_of_squares: r and G, a scalar a leaf. init_params: p_0 in `param_dtype`."""

    max_dist: Any
    grad_sum_of_squares: Any
    init_params: Any


def _terms(g: jax.Array, p: jax.Array, p0: jax.Array) -> dict[str, jax.Array]:
    return {"gradient": abs_sq(g), "distance": abs_sq(p - p0)}


def _measure_dog(updates: Any, params: Any, *, init_params: Any) -> dict[str, jax.Array]:
    require_params("dog", params)
    return leaf_sums(_terms, updates, params, init_params)


def _dog(
    gradient: Any,
    distance: Any,
    is_init_step: Any,
    max_dist: Any,
    sum_sq_norm_grads: Any,
    eps: Any,
    first: Any,
) -> dict[str, Any]:
    total = sum_sq_norm_grads + gradient
    root = jnp.sqrt(total + eps)
    furthest = jnp.maximum(max_dist, jnp.sqrt(distance))
    step = furthest / jnp.where(root > 0, root, 1.0)
    if first is not None:
        step = jnp.where(is_init_step, first, step)
    return {
        "is_init_step": jnp.zeros((), bool),
        "max_dist": furthest,
        "sum_sq_norm_grads": total,
        "factor": step,
    }


def _scale_by_dog(init_step: tuple[str, float], eps: Any) -> GradientTransformation:
    kind, value = init_step

    def first_distance(params: Any) -> Any:
        if kind == "heuristic":
            return as_array(value) * (1 + tree.norm(params))
        return 0.0 if kind == "learning_rate" else as_array(value)

    state = fields(
        DoGState,
        is_init_step=flag(True),
        init_params=snapshot(),
        max_dist=scalar(first_distance),
        sum_sq_norm_grads=scalar(),
    )
    first = value if kind == "learning_rate" else None
    return leafwise(
        times,
        state,
        name="dog",
        hyperparams={"eps": eps, "first": first},
        measure=_measure_dog,
        scalars=_dog,
    )


def _check_init_step(who: str, name: str, value: Any, optional: bool) -> None:
    if not (isinstance(value, tuple | list) and len(value) == 2 and value[0] in _INIT_STEPS):
        kinds = ", ".join(_INIT_STEPS)
        raise ArgumentError(
            f"{who}: {name} must be a pair of one of {kinds} and a number, got {value!r}."[:300]
        )
    number(0, open_low=True)(who, f"{name}[1]", value[1], optional)


@checked(counts=False, init_step=_check_init_step)
def dog(
    learning_rate: ScalarOrSchedule = 1.0,
    init_step: tuple[str, float] = ("heuristic", 1e-6),
    eps: float = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """DoG: gradient descent whose step size is the distance covered over the root of the sum of squared gradients.

    Its authors average the iterates. `init` needs the parameters themselves, not only their shapes.

    Args:
      learning_rate: factor of the step; a number, a traced number or a schedule; a negative one ascends.
      init_step: `("distance", r_0)`, `("learning_rate", first step size)`, or `("heuristic", a)`, which takes
        r_0 = a (1 + |p_0|).
      eps: added to the sum of squares, not negative.
      weight_decay: added to the gradient.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: an unknown kind of first step.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; init_step and eps are those of the paper, which takes 1e-6 (1 + |x_0|) for the first
    distance.

    Source: Ivgi et al. 2023, arXiv:2302.12022.
    """
    return chain(
        identity() if weight_decay is None else add_decayed_weights(weight_decay, mask),
        _scale_by_dog(init_step, eps),
        scale_by_learning_rate(learning_rate),
    )


def _measure_dowg(updates: Any, params: Any, *, init_params: Any) -> dict[str, jax.Array]:
    require_params("dowg", params)
    return leaf_sums(_terms, updates, params, init_params)


def _dowg(
    gradient: Any, distance: Any, weighted_sq_norm_grads: Any, estim_sq_dist: Any, eps: Any
) -> dict[str, Any]:
    square = jnp.maximum(estim_sq_dist, distance)
    total = weighted_sq_norm_grads + square * gradient
    return {
        "weighted_sq_norm_grads": total,
        "estim_sq_dist": square,
        "factor": square / (jnp.sqrt(total) + eps),
    }


@checked(eps=number(0, open_low=True))
def dowg(
    learning_rate: ScalarOrSchedule = 1.0,
    init_estim_sq_dist: float | None = None,
    eps: float = 1e-4,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """DoWG: DoG with gradients weighted by the distance at which they were met, which adapts to smooth problems too.

    Args:
      learning_rate: factor of the step; a number, a traced number or a schedule; a negative one ascends.
      init_estim_sq_dist: r_0^2, positive; None takes eps.
      eps: added to the root of the sum of squares, positive.
      weight_decay: added to the gradient.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; eps = 1e-4 is that of the authors' implementation.

    Source: Khaled et al. 2023, arXiv:2305.16284, Algorithm 1.
    """

    state = fields(
        DoWGState,
        init_params=snapshot(),
        weighted_sq_norm_grads=scalar(0.0),
        estim_sq_dist=scalar(eps if init_estim_sq_dist is None else init_estim_sq_dist),
    )

    return chain(
        identity() if weight_decay is None else add_decayed_weights(weight_decay, mask),
        leafwise(times, state, hyperparams={"eps": eps}, measure=_measure_dowg, scalars=_dowg),
        scale_by_learning_rate(learning_rate),
    )


def _distance_over_gradients(
    g: jax.Array, params: jax.Array, max_dist: jax.Array, grad_sum_of_squares: jax.Array, init_params: jax.Array, *,
    eps: Any, global_scale: Any,
) -> tuple[jax.Array, ...]:  # fmt: skip
    furthest = jnp.maximum(max_dist, jnp.sqrt(jnp.sum(abs_sq(params - init_params))))
    total = grad_sum_of_squares + jnp.sum(abs_sq(g))
    return global_scale * furthest / jnp.sqrt(total + eps) * g, furthest, total, init_params


@checked(counts=False)
def scale_by_distance_over_gradients(
    reps_rel: float = 1e-6, eps: float = 1e-8, param_dtype: Any = jnp.float32, global_scale: float = 1.0
) -> GradientTransformation:
    """Layer-wise DoG: distance over gradients for each leaf by itself.

    Args:
      reps_rel: r_0 = reps_rel (1 + |p_0|), positive; 1e-4 suits models with batch normalisation.
      eps: added to the sum of squares under the root, not negative.
      param_dtype: dtype of the copy of the initial parameters.
      global_scale: factor of the step.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; reps_rel and eps are those of the paper.

    Source: Ivgi et al. 2023, arXiv:2302.12022, section 5.
    """

    state = fields(
        ScaleByDistanceOverGradientsState,
        max_dist=statistic(lambda p: as_array(reps_rel) * (1 + tree.norm(p)), signed=False),
        grad_sum_of_squares=statistic(lambda p: jnp.zeros_like(tree.norm(p)), signed=False),
        init_params=snapshot(param_dtype),
    )
    return leafwise(_distance_over_gradients, state, hyperparams={"eps": eps, "global_scale": global_scale})
