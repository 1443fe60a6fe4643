"""The zoom line search along a ray: a step that decreases the function and at which it is flat enough.

One loop serves both phases, with one evaluation of value and gradient in its body: which phase it is in decides only
how the numbers of the trial change the interval (`_interval`). A search that ends without an acceptable step goes back
to the best trial that decreased the function, or to 0, by one more round of the same loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax.linesearch._acceptance import curvature_error, decrease_error
from nablax.linesearch._interval import Interval, Trial, bracket, choose, shrink, width, within


class Search(NamedTuple):
    """The loop's state; `rate` is to be tried next."""

    trials: jax.Array
    rate: jax.Array
    trial: Trial
    grad: Any
    decrease_error: jax.Array
    curvature_error: jax.Array
    interval: Interval
    bracketed: jax.Array
    best: Trial
    going_back: jax.Array
    done: jax.Array


class Options(NamedTuple):
    """As in `scale_by_zoom_linesearch`."""

    max_linesearch_steps: Any
    max_learning_rate: Any
    tol: Any
    increase_factor: Any
    slope_rtol: Any
    curv_rtol: Any
    approx_dec_rtol: Any
    stepsize_precision: Any


def zoom(
    evaluate: Callable[[jax.Array], tuple[jax.Array, Any, jax.Array]],
    guess: jax.Array,
    start: Trial,
    grad: Any,
    o: Options,
) -> Search:
    """Searches along a ray; `evaluate(rate)` returns value, gradient and slope."""
    dtype = start.value.dtype
    longest = jnp.asarray(jnp.inf if o.max_learning_rate is None else o.max_learning_rate, dtype)

    def body(s: Search) -> Search:
        value, grad, slope = evaluate(s.rate)
        trial = Trial(s.rate, value, slope)
        missed = decrease_error(
            s.rate, value, slope, start.value, start.slope, o.slope_rtol, o.approx_dec_rtol
        )
        curved = curvature_error(slope, start.slope, o.curv_rtol)
        decreases = missed <= o.tol
        accepted = decreases & (curved <= o.tol)
        best = choose(decreases & (value < s.best.value), trial, s.best)

        around, found = bracket(s.trial, trial, s.trials == 0, decreases)
        interval = choose(s.bracketed, shrink(s.interval, trial, decreases), around)
        bracketed = s.bracketed | found
        trials = s.trials + 1
        exhausted = (
            (trials >= o.max_linesearch_steps)
            | (~bracketed & (s.rate >= longest))
            | (s.bracketed & (width(s.interval) <= o.stepsize_precision) & (best.rate > 0))
        )
        longer = jnp.minimum(s.rate * o.increase_factor, longest)
        rate = jnp.where(bracketed, within(interval), longer)
        no_step = s.going_back & (s.rate == 0)  # keep telling how the last trial failed
        return Search(
            trials=trials,
            rate=jnp.where(exhausted, best.rate, rate).astype(dtype),
            trial=trial,
            grad=grad,
            decrease_error=jnp.where(no_step, s.decrease_error, missed),
            curvature_error=jnp.where(no_step, s.curvature_error, curved),
            interval=interval,
            bracketed=bracketed,
            best=best,
            going_back=exhausted,
            done=accepted | s.going_back | (exhausted & (s.rate == best.rate)),
        )

    nothing = jnp.asarray(jnp.inf, dtype)
    first = Search(
        trials=jnp.zeros((), jnp.int32),
        rate=jnp.minimum(guess, longest),
        trial=start,
        grad=grad,
        decrease_error=nothing,
        curvature_error=nothing,
        interval=Interval(start, start, start),
        bracketed=jnp.asarray(False),
        best=Trial(jnp.zeros((), dtype), nothing, start.slope),
        going_back=jnp.asarray(False),
        done=jnp.asarray(False),
    )
    return lax.while_loop(lambda s: ~s.done, body, first)
