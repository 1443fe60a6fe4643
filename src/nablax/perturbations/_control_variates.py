"""Control variates for the Jacobians of expectations: subtract what is known on average, add its exact
derivative.

    E f = E (f - c h) + c E h

A control variate is a triple of functions (h, expected, update):

    h(params, sample, state) -> scalar        expected(params, state) -> E h        update(params, samples,
    state) -> state

Sources: Mohamed et al. 2020, arXiv:1906.10652, section 7; Paisley, Blei & Jordan 2012, arXiv:1206.6430, for
the delta method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, ITERABLE, check_number

from ._checks import positive_int
from ._distributions import draw_samples

ControlVariate = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


def control_delta_method(function: Callable[[jax.Array], jax.Array]) -> ControlVariate:
    """The second-order Taylor polynomial of f around the mean, for params = (mean, log_scale) of a diagonal
    normal law.

    Args:
      function: of one sample, a vector, to a scalar; twice differentiable.

    Returns:
      The triple (h, expected, update); the state passes through.

    Raises:
      ArgumentError: function is none.
    """
    FUNCTION("control_delta_method", "function", function)

    def taylor(params: Any, sample: jax.Array, state: Any = None) -> jax.Array:
        del state
        mean = jax.lax.stop_gradient(params[0])
        away = sample - mean
        return (
            function(mean) + away @ jax.grad(function)(mean) + 0.5 * away @ jax.hessian(function)(mean) @ away
        )

    def expected(params: Any, state: Any = None) -> jax.Array:
        # The polynomial stays where it is, the law moves with params.
        del state
        mean0 = jax.lax.stop_gradient(params[0])
        away, variance = params[0] - mean0, jnp.exp(2 * params[1])
        hessian = jax.hessian(function)(mean0)
        spread = 0.5 * (jnp.sum(jnp.diag(hessian) * variance) + away @ hessian @ away)
        return function(mean0) + away @ jax.grad(function)(mean0) + spread

    def update(params: Any, samples: Any, state: Any = None) -> Any:
        del params, samples
        return state

    return taylor, expected, update


def moving_avg_baseline(
    function: Callable[[jax.Array], jax.Array],
    decay: float = 0.99,
    zero_debias: bool = True,
    use_decay_early_training_heuristic: bool = True,
) -> ControlVariate:
    """A constant: the moving average of f over the samples of the steps before.

    Args:
      function: of one sample, to a scalar.
      decay: weight of the past, in [0, 1).
      zero_debias: divide by 1 - decay^t, t counting updates from 1, so that the start at 0 does not pull.
      use_decay_early_training_heuristic: use min(decay, (1 + t)/(10 + t)), t from 0: forget faster at first.

    Returns:
      The triple (h, expected, update). The state is (average, t, product of the weights so far), and starts
      at None or at (0.0, 0): both mean no average yet.

    Raises:
      ArgumentError: function is none.
      HyperparameterError: decay outside [0, 1).

    Defaults: as in Optax's former module monte_carlo.
    """
    FUNCTION("moving_avg_baseline", "function", function)
    check_number("moving_avg_baseline", "decay", decay, 0, 1, open_high=True)

    def unpack(state: Any) -> tuple[Any, Any, Any]:
        if state is None:
            return jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.ones(())
        average, step, *rest = state
        return (
            jnp.asarray(average),
            jnp.asarray(step),
            jnp.asarray(rest[0]) if rest else jnp.power(decay, step),
        )

    def value(state: Any) -> jax.Array:
        average, _, forgotten = unpack(state)
        if not zero_debias:
            return average
        return jnp.where(forgotten < 1, average / jnp.where(forgotten < 1, 1 - forgotten, 1), 0)

    def baseline(params: Any, sample: Any, state: Any = None) -> jax.Array:
        del params, sample
        return jax.lax.stop_gradient(value(state))

    def expected(params: Any, state: Any = None) -> jax.Array:
        del params
        return jax.lax.stop_gradient(value(state))

    def update(params: Any, samples: jax.Array, state: Any = None) -> Any:
        del params
        average, step, forgotten = unpack(state)
        weight = (
            jnp.minimum(decay, (1.0 + step) / (10.0 + step)) if use_decay_early_training_heuristic else decay
        )
        mean = jnp.mean(jax.vmap(function)(samples))
        return weight * average + (1 - weight) * mean, step + 1, forgotten * weight

    return baseline, expected, update


def control_variates_jacobians(
    function: Callable[[jax.Array], jax.Array],
    control_variate_from_function: Callable[..., ControlVariate],
    grad_estimator: Callable[..., Any],
    params: Sequence[Any],
    dist_builder: Callable[..., Any],
    rng: jax.Array,
    num_samples: int,
    control_variate_state: Any = None,
    estimate_cv_coeffs: bool = False,
    estimate_cv_coeffs_num_samples: int = 20,
) -> tuple[tuple[Any, ...], Any]:
    """Jacobians of E f with less noise, by any of the estimators and any of the control variates.

    Args:
      function: of one sample, to a scalar.
      control_variate_from_function: `control_delta_method`, `moving_avg_baseline` or the like.
      grad_estimator: `score_function_jacobians`, `pathwise_jacobians` or `measure_valued_jacobians`.
      params, dist_builder, rng, num_samples: as in `score_function_jacobians`.
      control_variate_state: what the last call returned; None at first.
      estimate_cv_coeffs: fit the coefficient c of each parameter by regression over samples of their own;
        else c = 1.
      estimate_cv_coeffs_num_samples: how many samples the fit takes.

    Returns:
      (jacobians, state): a tuple with an array of shape (num_samples, *shape) for each parameter, and the
      next state.

    Defaults: as in Optax's former module monte_carlo.
    """
    who = "control_variates_jacobians"
    positive_int(who, "num_samples", num_samples)
    positive_int(who, "estimate_cv_coeffs_num_samples", estimate_cv_coeffs_num_samples)
    FUNCTION(who, "control_variate_from_function", control_variate_from_function)
    ITERABLE(who, "params", params)
    params = tuple(params)
    control, expected, update = control_variate_from_function(function)

    def h(sample: jax.Array) -> jax.Array:
        return control(params, sample, control_variate_state)

    def both(key: jax.Array, count: int) -> tuple[Any, Any]:
        return tuple(grad_estimator(f, params, dist_builder, key, count) for f in (function, h))

    jacobians, controls = both(rng, num_samples)
    exact = jax.grad(lambda p: jnp.asarray(expected(p, control_variate_state), float))(params)
    coefficients: list[Any] = [1.0] * len(params)
    if estimate_cv_coeffs:
        own = both(jax.random.fold_in(rng, 1), estimate_cv_coeffs_num_samples)
        coefficients = [_regress(f, g) for f, g in zip(*own, strict=True)]
    out = tuple(
        jac - c * (ctl - mean)
        for jac, c, ctl, mean in zip(jacobians, coefficients, controls, exact, strict=True)
    )
    samples = draw_samples(dist_builder(*params), rng, num_samples)
    return out, update(params, samples, control_variate_state)


def _regress(f: jax.Array, g: jax.Array) -> jax.Array:
    """The coefficient that minimises the variance of f - c g, over all coordinates; 0 for a control without
    variance."""
    f, g = f - jnp.mean(f, 0), g - jnp.mean(g, 0)
    variance = jnp.sum(g * g)
    return jnp.where(variance > 0, jnp.sum(f * g) / jnp.where(variance > 0, variance, 1), 0.0)
