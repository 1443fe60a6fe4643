"""L-BFGS within bounds: quasi-Newton steps in the free variables, projected onto the box.

    F      = variables that are not held at a bound by their gradient
    d_F    = -H_F g_F,  d = 0 elsewhere,      H_F from the pairs (s_F, y_F) with <s_F, y_F> > 0
    w_next = P(w + t d),   t: the first of 1, ... with   f(w_next) <= f(w) + c <g, w_next - w>

The Hessian of the free variables is estimated from the pairs' free parts, so that -H_F g_F leads down and variables
may enter and leave the bounds many at a time.

Sources: Bertsekas 1982, doi:10.1137/0320018; Ni & Yuan 1997, doi:10.1090/S0025-5718-97-00866-1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.linesearch._lbfgs import curvature_weight, difference, remember, times_inverse_hessian
from nablax.linesearch._objective import LineSearch, inner, scalar_dtype

_ARMIJO = 1e-4
# A trial is shortened to where a parabola has its minimum, but to no less than a tenth and no more than a half.
_LEAST, _MOST = 0.1, 0.5


def project(x: Any, lower: Any, upper: Any) -> Any:
    """The point of the box nearest to x, in the dtypes of x."""
    return jax.tree.map(lambda w, a, b: jnp.clip(w, a, b).astype(jnp.result_type(w)), x, lower, upper)


class ProjectedLBFGSState(NamedTuple):
    """count, params, updates, memories: as in `ScaleByLBFGSState`. value, grad: at the new point. evaluations: of the
    last search."""

    count: Any
    params: Any
    updates: Any
    diff_params_memory: Any
    diff_updates_memory: Any
    value: Any
    grad: Any
    evaluations: Any


class _Trial(NamedTuple):
    trials: jax.Array
    rate: jax.Array
    point: Any
    value: jax.Array
    grad: Any
    enough: jax.Array


def projected_lbfgs(lower: Any, upper: Any, memory_size: int = 10, max_trials: int = 30) -> LineSearch:
    """L-BFGS for lower <= w <= upper: trees of arrays that broadcast against the parameters, infinite where free.

    `update` takes `value`, `grad` and `value_fn`, and parameters that lie within the bounds.
    """

    def init(params: Any) -> ProjectedLBFGSState:
        def memory(p: Any) -> Any:
            return jnp.zeros((memory_size, *jnp.shape(p)), tree.at_least_float32(jnp.result_type(p)))

        zeros, memories = tree.zeros_like(params), jax.tree.map(memory, params)
        count = jnp.zeros((), jnp.int32)
        value = jnp.asarray(jnp.inf, scalar_dtype(params))
        return ProjectedLBFGSState(count, zeros, zeros, memories, memories, value, zeros, count)

    def update(
        updates: Any,
        state: ProjectedLBFGSState,
        params: Any,
        *,
        value: Any,
        grad: Any,
        value_fn: Any,
        **_: Any,
    ) -> tuple[Any, ProjectedLBFGSState]:
        del updates
        dtype = state.value.dtype
        s, y = difference(params, state.params), difference(grad, state.updates)
        newest = (state.count - 1) % memory_size
        keep = state.count > 0
        steps = remember(state.diff_params_memory, s, newest, keep)
        changes = remember(state.diff_updates_memory, y, newest, keep)
        direction = _direction(params, grad, steps, changes, newest, lower, upper, dtype)

        value_and_grad = jax.value_and_grad(value_fn)

        def body(t: _Trial) -> _Trial:
            point = jax.tree.map(
                lambda w, d: (w + t.rate.astype(w.dtype) * d).astype(w.dtype), params, direction
            )
            point = project(point, lower, upper)
            v, g = value_and_grad(point)
            v = jnp.asarray(v, dtype)
            promised = inner(grad, difference(point, params), dtype)
            enough = (v <= value + _ARMIJO * promised) & (promised < 0)
            quadratic = -t.rate * promised / (2 * (v - value - promised))
            shorter = jnp.where(
                jnp.isfinite(quadratic), jnp.clip(quadratic, _LEAST * t.rate, _MOST * t.rate), _LEAST * t.rate
            )
            return _Trial(t.trials + 1, jnp.where(enough, t.rate, shorter), point, v, g, enough)

        first = _Trial(jnp.zeros((), jnp.int32), jnp.ones((), dtype), params, value, grad, jnp.asarray(False))
        found = lax.while_loop(lambda t: ~t.enough & (t.trials < max_trials), body, first)
        point, new_value, new_grad = jax.tree.map(
            lambda a, b: jnp.where(found.enough, a, b),
            (found.point, found.value, found.grad),
            (params, value, grad),
        )
        new = ProjectedLBFGSState(
            state.count + 1, params, grad, steps, changes, new_value, new_grad, found.trials
        )
        return jax.tree.map(jnp.subtract, point, params), new

    return LineSearch(init, update, "projected_lbfgs", stores_grad=True)


def _direction(
    params: Any, grad: Any, steps: Any, changes: Any, newest: Any, lower: Any, upper: Any, dtype: Any
) -> Any:
    """-H_F g_F, zero where a bound holds a variable against its gradient."""

    def is_free(w: Any, g: Any, a: Any, b: Any) -> Any:
        return ~(((w <= a) & (g > 0)) | ((w >= b) & (g < 0)))

    free = jax.tree.map(is_free, params, grad, lower, upper)

    def part(x: Any) -> Any:
        return jax.tree.map(lambda f, v: jnp.where(f, v, 0), free, x)

    steps, changes, reduced = part(steps), part(changes), part(grad)
    weights = jax.vmap(lambda s, y: curvature_weight(s, y, dtype))(steps, changes)
    direction = part(times_inverse_hessian(reduced, steps, changes, weights, newest))
    return jax.tree.map(jnp.negative, direction)
