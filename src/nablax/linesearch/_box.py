"""L-BFGS within bounds: quasi-Newton steps in the free variables, projected onto the box.

    F      = variables that are not held at a bound by their gradient
    d_F    = -H_F g_F,  d = 0 elsewhere,      H_F from the pairs (s_F, y_F) with <s_F, y_F> > 0
    w_next = P(w + t d),   t: the first of 1, ... with   f(w_next) <= f(w) + c <g, w_next - w>

Where t = 1 is far too short, the slope at w_next being nearly that at w, longer ones are tried as long as they lead
lower: without pairs, d is no longer than 1, and a bound may be a million away.

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
from nablax.core import checked, wrapper
from nablax.linesearch._bounds import project
from nablax.linesearch._lbfgs import curvature_weight, difference, remember, times_inverse_hessian
from nablax.linesearch._objective import LineSearch, inner, scalar_dtype
from nablax.linesearch._scale_by_zoom import ZoomLinesearchInfo

_ARMIJO = 1e-4
# A trial is shortened to where a parabola has its minimum, but to no less than a tenth and no more than a half.
_LEAST, _MOST = 0.1, 0.5
# A step is too short where the slope has kept this share; then it is lengthened by that factor.
_STEEP, _LONGER = 0.9, 4.0


class ProjectedLBFGSState(NamedTuple):
    """count, params, updates, memories: as in `ScaleByLBFGSState`. value, grad: at the new point. learning_rate, info:
    of the last search; its curvature_error is 0 where the slope is no longer steep."""

    count: Any
    params: Any
    updates: Any
    diff_params_memory: Any
    diff_updates_memory: Any
    value: Any
    grad: Any
    learning_rate: Any
    info: ZoomLinesearchInfo


class _Search(NamedTuple):
    """next_rate: to be tried next. rate, point, value, grad: of the best trial that decreased the function enough, or
    of the start. found: whether there was one. curvature_error: by how much the slope there is too steep."""

    trials: jax.Array
    next_rate: jax.Array
    rate: jax.Array
    point: Any
    value: jax.Array
    grad: Any
    curvature_error: jax.Array
    found: jax.Array
    done: jax.Array


@checked()
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
        return ProjectedLBFGSState(
            count, zeros, zeros, memories, memories, value, zeros, jnp.ones_like(value),
            ZoomLinesearchInfo(count, value, value),
        )  # fmt: skip

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

        def body(s: _Search) -> _Search:
            rate = s.next_rate
            point = jax.tree.map(
                lambda w, d: (w + rate.astype(w.dtype) * d).astype(w.dtype), params, direction
            )
            point = project(point, lower, upper)
            v, g = value_and_grad(point)
            v = jnp.asarray(v, dtype)
            step = difference(point, params)
            promised = inner(grad, step, dtype)
            enough = (v <= value + _ARMIJO * promised) & (promised < 0)
            better = enough & (~s.found | (v < s.value))
            steep = jnp.maximum(_STEEP * promised - inner(g, step, dtype), 0)
            longer = better & (s.found | (s.trials == 0)) & (steep > 0)
            quadratic = -rate * promised / (2 * (v - value - promised))
            shorter = jnp.where(
                jnp.isfinite(quadratic), jnp.clip(quadratic, _LEAST * rate, _MOST * rate), _LEAST * rate
            )
            best = jax.tree.map(
                lambda new, old: jnp.where(better, new, old),
                {"rate": rate, "point": point, "value": v, "grad": g, "curvature_error": steep},
                {name: getattr(s, name) for name in ("rate", "point", "value", "grad", "curvature_error")},
            )
            again = jnp.where(longer, _LONGER * rate, shorter)
            done = (better | s.found) & ~longer
            return s._replace(trials=s.trials + 1, next_rate=again, found=s.found | better, done=done, **best)

        zero, one, no = jnp.zeros((), jnp.int32), jnp.ones((), dtype), jnp.asarray(False)
        nothing = jnp.asarray(jnp.inf, dtype)
        first = _Search(zero, one, jnp.zeros_like(one), params, value, grad, nothing, no, no)
        found = lax.while_loop(lambda s: ~s.done & (s.trials < max_trials), body, first)
        info = ZoomLinesearchInfo(found.trials, jnp.where(found.found, 0, nothing), found.curvature_error)
        new = ProjectedLBFGSState(
            state.count + 1, params, grad, steps, changes, found.value, found.grad, found.rate, info
        )
        return jax.tree.map(jnp.subtract, found.point, params), new

    return LineSearch.of(wrapper(init, update).call)


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
