"""The backtracking line search: shorten the step until it decreases the function enough.

    f(w + t u) <= (1 + rtol) f(w) + slope_rtol t <g, u> + atol

Sources: Armijo 1966, doi:10.2140/pjm.1966.16.1; Vaswani et al. 2019, arXiv:1905.09997.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import GradientTransformationExtraArgs, check_number, checked, wrapper
from nablax.linesearch._objective import (
    LineSearch,
    inner,
    moved,
    only_accepted,
    required,
    scalar_dtype,
    scaled,
)


class BacktrackingLinesearchInfo(NamedTuple):
    """num_linesearch_steps: evaluations of the function, int32. decrease_error: by how much the step misses the
    condition, 0 where it meets it; infinite before the first search."""

    num_linesearch_steps: Any
    decrease_error: Any


class ScaleByBacktrackingLinesearchState(NamedTuple):
    """learning_rate: the last step's. value: of the function where it led; infinite before the first step. grad: the
    gradient there, None unless it is stored. info: a `BacktrackingLinesearchInfo`."""

    learning_rate: Any
    value: Any
    grad: Any
    info: BacktrackingLinesearchInfo


class _Search(NamedTuple):
    """trials: made so far. rate, value, error: of the last one."""

    trials: jax.Array
    rate: jax.Array
    value: jax.Array
    error: jax.Array


@checked()
def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: float = 1e-4,
    decrease_factor: float = 0.8,
    increase_factor: float = 1.5,
    max_learning_rate: float = 1.0,
    atol: float = 0.0,
    rtol: float = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
) -> GradientTransformationExtraArgs:
    """Scales the update u by the first rate of a falling sequence that decreases the function enough.

    The first trial is the last rate times `increase_factor`. If no trial decreases the function enough, the shortest
    one is taken, or none at all (rate 0) where the function is infinite or NaN there.

    `update` takes the keyword arguments `value`, `grad` (for complex parameters the conjugate of JAX's gradient, which
    is the direction of ascent), `value_fn`, and what else `value_fn` names; as in Optax, no others.

    Args:
      max_backtracking_steps: how often the first trial may be shortened; 0 takes or refuses it as it is.
      slope_rtol: share of the decrease that the slope promises, not negative; in (0, 1) as a rule.
      decrease_factor: by which a trial is shortened, in (0, 1).
      increase_factor: by which the last rate is multiplied for the first trial, positive. Infinity starts every
        search at `max_learning_rate`; below 1, rates only fall.
      max_learning_rate: greatest rate, positive.
      atol, rtol: slack, absolute and relative to f(w); not negative.
      store_grad: evaluate and store the gradient at the new point, for `value_and_grad_from_state`.
      verbose: print the outcome of each search.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: at `update`, a missing keyword argument, or one that nothing takes.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; slope_rtol = 1e-4 is that of Nocedal & Wright 2006, section 3.1.

    Source: Armijo 1966; Vaswani et al. 2019, arXiv:1905.09997.

    Example:
      >>> def f(x):
      ...     return jnp.sum(x**2)
      >>> tx = scale_by_backtracking_linesearch(20)
      >>> x = jnp.array([3.0, 4.0])
      >>> value, grad = jax.value_and_grad(f)(x)
      >>> updates, state = tx.update(-grad, tx.init(x), x, value=value, grad=grad, value_fn=f)
      >>> float(state.learning_rate), float(state.value)
      (0.8..., 9.0...)
    """
    who = "scale_by_backtracking_linesearch"
    check_number(who, "max_backtracking_steps", max_backtracking_steps, 0, integer=True)
    check_number(who, "slope_rtol", slope_rtol, 0, open_high=True)
    check_number(who, "decrease_factor", decrease_factor, 0, 1, open_low=True, open_high=True)
    check_number(who, "increase_factor", increase_factor, 0, open_low=True)
    check_number(who, "max_learning_rate", max_learning_rate, 0, open_low=True)
    check_number(who, "atol", atol, 0)
    check_number(who, "rtol", rtol, 0)

    def init(params: Any) -> ScaleByBacktrackingLinesearchState:
        dtype = scalar_dtype(params)
        never = jnp.asarray(jnp.inf, dtype)
        return ScaleByBacktrackingLinesearchState(
            learning_rate=jnp.ones((), dtype),
            value=never,
            grad=tree.zeros_like(params) if store_grad else None,
            info=BacktrackingLinesearchInfo(jnp.zeros((), jnp.int32), never),
        )

    def update(
        updates: Any,
        state: ScaleByBacktrackingLinesearchState,
        params: Any = None,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
        **extra: Any,
    ) -> tuple[Any, ScaleByBacktrackingLinesearchState]:
        value, grad = required(who, updates, params, value, grad, value_fn)
        dtype = value.dtype
        kwargs = only_accepted(who, value_fn, extra)
        slope = inner(grad, updates, dtype)

        last = jnp.asarray(state.learning_rate, dtype)
        longest = jnp.asarray(max_learning_rate, dtype)
        # A search that found no rate left 0, from which no factor leads away.
        guess = jnp.where(last > 0, jnp.minimum(last * increase_factor, longest), longest)

        def trial(s: _Search) -> _Search:
            rate = jnp.where(s.trials == 0, guess, s.rate * decrease_factor).astype(dtype)
            v = jnp.asarray(value_fn(moved(params, rate, updates), **kwargs), dtype)
            error = v - ((1 + rtol) * value + slope_rtol * rate * slope + atol)
            error = jnp.where(jnp.isnan(error), jnp.inf, jnp.maximum(error, 0)).astype(dtype)
            return _Search(s.trials + 1, rate, v, error)

        start = _Search(jnp.zeros((), jnp.int32), guess, value, jnp.asarray(jnp.inf, dtype))
        found = lax.while_loop(lambda s: (s.error > 0) & (s.trials <= max_backtracking_steps), trial, start)
        usable = jnp.isfinite(found.value)
        rate = jnp.where(usable, found.rate, 0)
        new_grad = None
        if store_grad:
            new_grad = jax.grad(value_fn)(moved(params, rate, updates), **kwargs)
        if verbose:
            jax.debug.print(
                "scale_by_backtracking_linesearch: rate {rate}, value {value}, {count} evaluations, decrease missed by "
                "{error}.",
                rate=rate,
                value=found.value,
                count=found.trials,
                error=found.error,
            )
        info = BacktrackingLinesearchInfo(found.trials, found.error)
        new = ScaleByBacktrackingLinesearchState(rate, jnp.where(usable, found.value, value), new_grad, info)
        return scaled(rate, updates), tree.cast_like(new, state)

    return LineSearch.of(wrapper(init, update).call)
