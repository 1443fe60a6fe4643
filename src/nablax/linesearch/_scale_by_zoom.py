"""`scale_by_zoom_linesearch`: the zoom search as a transformation, which scales an update by the rate that it finds."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import ArgumentError, GradientTransformationExtraArgs, check_number, checked, wrapper
from nablax.linesearch._interval import Trial
from nablax.linesearch._objective import (
    LineSearch,
    inner,
    moved,
    only_accepted,
    required,
    scalar_dtype,
    scaled,
)
from nablax.linesearch._zoom import Options, Search, zoom


class ZoomLinesearchInfo(NamedTuple):
    """How a search went.

    num_linesearch_steps: evaluations of value and gradient, int32; one more than the allowed number where the search
      failed and went back to its best step. decrease_error, curvature_error: by how much the step misses the
      conditions, 0 where it meets them; infinite before the first search.
    """

    num_linesearch_steps: Any
    decrease_error: Any
    curvature_error: Any


class ScaleByZoomLinesearchState(NamedTuple):
    """learning_rate: the last step's. value, grad: of the function where that step led; the value is infinite before
    the first step. info: a `ZoomLinesearchInfo`."""

    learning_rate: Any
    value: Any
    grad: Any
    info: ZoomLinesearchInfo


@checked()
def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: float | None = None,
    tol: float = 0.0,
    increase_factor: float = 2.0,
    slope_rtol: float = 1e-4,
    curv_rtol: float = 0.9,
    approx_dec_rtol: float | None = 1e-6,
    stepsize_precision: float = 1e-5,
    initial_guess_strategy: str = "keep",
    verbose: bool = False,
) -> GradientTransformationExtraArgs:
    """Scales the update u by a rate t that meets the strong Wolfe conditions.

        f(w + t u) <= f(w) + slope_rtol t <g, u>        it decreases the function enough
        |<g(w + t u), u>| <= curv_rtol |<g, u>|         the slope there is small enough

    Where no such rate is found, the best one tried that decreases the function is taken; where there is none either
    (u is no direction of descent, or the gradient is wrong), the rate is 0 and the parameters stay.

    `update` takes the keyword arguments `value`, `grad` (for complex parameters the conjugate of JAX's gradient, which
    is the direction of ascent), `value_fn`, and what else `value_fn` names; as in Optax, no others.

    Args:
      max_linesearch_steps: trials, at least 1.
      max_learning_rate: greatest rate, positive; None is no bound.
      tol: what both conditions may be missed by, not negative.
      increase_factor: by which the rate is multiplied until a rate is too long, positive; greater than 1 as a rule.
      slope_rtol: in [0, 1).
      curv_rtol: not negative, greater than slope_rtol as a rule; infinity drops the second condition.
      approx_dec_rtol: relative change of f below which its slope is trusted more than its value (Hager & Zhang);
        None does so never.
      stepsize_precision: the search ends with the best rate once it is known to this accuracy.
      initial_guess_strategy: "keep" tries the last rate first (1 after a search that found none), "one" tries 1.
      verbose: print how a search failed.

    Returns:
      A transformation whose state also holds value and gradient at the new point, for `value_and_grad_from_state`.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: another strategy; at `update`, a missing keyword argument, or one that nothing takes.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; slope_rtol = 1e-4 and curv_rtol = 0.9 are those of Nocedal & Wright 2006, section 3.1, for
    quasi-Newton methods, approx_dec_rtol = 1e-6 that of Hager & Zhang 2006.

    Source: Nocedal & Wright 2006, doi:10.1007/978-0-387-40065-5, Algorithms 3.5 and 3.6; Hager & Zhang 2006,
    doi:10.1145/1132973.1132979.

    Example:
      >>> def f(x):
      ...     return jnp.sum(x**4)
      >>> tx = scale_by_zoom_linesearch(20)
      >>> x = jnp.array([1.0, 2.0])
      >>> value, grad = jax.value_and_grad(f)(x)
      >>> u = jax.tree.map(jnp.negative, grad)
      >>> updates, state = tx.update(u, tx.init(x), x, value=value, grad=grad, value_fn=f)
      >>> bool(state.value < value), int(state.info.num_linesearch_steps)
      (True, 5)
    """
    who = "scale_by_zoom_linesearch"
    check_number(who, "max_linesearch_steps", max_linesearch_steps, 1, integer=True)
    check_number(who, "max_learning_rate", max_learning_rate, 0, open_low=True, optional=True)
    check_number(who, "tol", tol, 0)
    check_number(who, "increase_factor", increase_factor, 0, open_low=True)
    check_number(who, "slope_rtol", slope_rtol, 0, 1, open_high=True)
    check_number(who, "curv_rtol", curv_rtol, 0)
    check_number(who, "approx_dec_rtol", approx_dec_rtol, 0, optional=True)
    check_number(who, "stepsize_precision", stepsize_precision, 0)
    if initial_guess_strategy not in ("keep", "one"):
        raise ArgumentError(
            f"{who}: initial_guess_strategy must be 'keep' or 'one', got {initial_guess_strategy!r}."
        )
    options = Options(
        max_linesearch_steps,
        max_learning_rate,
        tol,
        increase_factor,
        slope_rtol,
        curv_rtol,
        approx_dec_rtol,
        stepsize_precision,
    )

    def init(params: Any) -> ScaleByZoomLinesearchState:
        dtype = scalar_dtype(params)
        never = jnp.asarray(jnp.inf, dtype)
        return ScaleByZoomLinesearchState(
            learning_rate=jnp.ones((), dtype),
            value=never,
            grad=tree.zeros_like(params),
            info=ZoomLinesearchInfo(jnp.zeros((), jnp.int32), never, never),
        )

    def update(
        updates: Any,
        state: ScaleByZoomLinesearchState,
        params: Any = None,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
        **extra: Any,
    ) -> tuple[Any, ScaleByZoomLinesearchState]:
        value, grad = required(who, updates, params, value, grad, value_fn)
        dtype = value.dtype
        value_and_grad = jax.value_and_grad(value_fn)
        kwargs = only_accepted(who, value_fn, extra)

        def evaluate(rate: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
            v, g = value_and_grad(moved(params, rate, updates), **kwargs)
            return v.astype(dtype), g, inner(tree.conj(g), updates, dtype)

        start = Trial(jnp.zeros((), dtype), value, inner(grad, updates, dtype))
        last = jnp.asarray(state.learning_rate, dtype)
        one = jnp.ones((), dtype)
        guess = jnp.where(last > 0, last, one) if initial_guess_strategy == "keep" else one
        found = zoom(evaluate, guess, start, tree.cast_like(grad, params), options)
        if verbose:
            _report(found)
        info = ZoomLinesearchInfo(found.trials, found.decrease_error, found.curvature_error)
        new = ScaleByZoomLinesearchState(found.trial.rate, found.trial.value, found.grad, info)
        return scaled(found.trial.rate, updates), tree.cast_like(new, state)

    return LineSearch.of(wrapper(init, update).call)


def _report(s: Search) -> None:
    def tell() -> None:
        jax.debug.print(
            "scale_by_zoom_linesearch: no step meets both conditions after {count} evaluations. Took the rate {rate}, "
            "value {value}, slope {slope}; the decrease is missed by {missed}, the curvature by {curved}. A rate of 0 "
            "means that no trial decreased the function: is the update a direction of descent?",
            count=s.trials,
            rate=s.trial.rate,
            value=s.trial.value,
            slope=s.trial.slope,
            missed=s.decrease_error,
            curved=s.curvature_error,
        )

    lax.cond(s.going_back, tell, lambda: None)
