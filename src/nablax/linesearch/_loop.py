"""The compiled loop of `minimize`.

It carries value and gradient at the current point. A line search ends where it has just evaluated both, so the next
step takes them from its state; after any other transformation they are evaluated once a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import Chain, StructureError, apply_updates, body_of
from nablax.linesearch._bounds import project
from nablax.linesearch._box import projected_lbfgs
from nablax.linesearch._lbfgs import lbfgs
from nablax.linesearch._objective import LineSearch, scalar_dtype
from nablax.linesearch._result import REASONS, Minimum, Stopped

_RUNNING = -1
_CODE = {reason: i for i, reason in enumerate(REASONS)}
_FAR = 1e4


class _Loop(NamedTuple):
    """stuck: whether the last step lowered neither value nor gradient. falling: whether a step still led down after
    `_FAR` times its proposed length, and no gradient has been smaller since. code: why it stopped, -1 while running.
    """

    x: Any
    value: jax.Array
    grad: Any
    norm: jax.Array
    state: Any
    steps: jax.Array
    evaluations: jax.Array
    stuck: jax.Array
    falling: jax.Array
    code: jax.Array


@functools.partial(jax.jit, static_argnames=("fun", "tx", "has_aux"))
def run(
    x0: Any, args: Any, box: Any, tol: Any, max_steps: Any, *, fun: Any, tx: Any, has_aux: bool
) -> Minimum:
    """Runs `tx`, or L-BFGS where that is None, until a reason to stop; `box` holds bounds as trees like x0."""
    dtype = scalar_dtype(x0)
    value_fn = _value_fn(fun, args, has_aux, dtype)
    value_and_grad = jax.value_and_grad(value_fn)
    if tx is None:
        tx = _default_lbfgs() if box is None else projected_lbfgs(*box)
    search = _line_search(tx)
    # Where a transformation of the user's is projected afterwards, its state knows another point.
    reuse = search is not None and search.stores_grad and (box is None or search.name == "projected_lbfgs")

    def norm(x: Any, grad: Any) -> jax.Array:
        if box is not None:
            ahead = jax.tree.map(lambda w, g: w - g, x, grad)
            grad = jax.tree.map(jnp.subtract, x, project(ahead, *box))
        return tree.norm(grad, ord="inf").astype(dtype)

    def body(s: _Loop) -> _Loop:
        ascent = tree.conj(s.grad)  # of a complex parameter, JAX's gradient is the conjugate
        updates, state = tx.update(ascent, s.state, s.x, value=s.value, grad=ascent, value_fn=value_fn)
        x = apply_updates(s.x, updates)
        if box is not None:
            x = project(x, *box)
        spent, stuck, falling = jnp.zeros((), jnp.int32), jnp.asarray(False), jnp.asarray(False)
        last = _last_state(tx, state)
        if search is not None:
            spent = last.info.num_linesearch_steps
        if reuse:
            value, grad = last.value, last.grad
        else:
            value, grad = value_and_grad(x)
            spent = spent + 1
        size = norm(x, grad)
        if search is not None:
            # Near a minimum values stand still while gradients still shrink. Where neither falls, the memory may be at
            # fault: try once more with an empty one.
            stuck = (value >= s.value) & (size >= s.norm)
            state = lax.cond(stuck, lambda: _like(tx.init(x), state), lambda: state)
            falling = endless & (_still_falling(last) | (s.falling & (size >= s.norm)))
        steps = s.steps + 1
        code = judge(value, size, steps, stuck & s.stuck, falling)
        return _Loop(x, value, grad, size, state, steps, s.evaluations + spent, stuck, falling, code)

    x = x0 if box is None else project(x0, *box)
    # Within finite bounds there always is a minimum.
    endless = box is None or _any_infinite(box)
    value, grad = value_and_grad(x)
    zero, no = jnp.zeros((), jnp.int32), jnp.asarray(False)
    size = norm(x, grad)
    # As far below the start as rounding there is above nothing, twice over.
    bottom = -jnp.maximum(jnp.maximum(1, jnp.abs(value)), size) / jnp.finfo(dtype).eps ** 2

    def judge(value: Any, norm: Any, steps: Any, stuck: Any, falling: Any) -> jax.Array:
        code = jnp.where(steps >= max_steps, _CODE[Stopped.STEPS], _RUNNING)
        code = jnp.where(stuck, _CODE[Stopped.NO_DECREASE], code)
        code = jnp.where(falling & (code != _RUNNING), _CODE[Stopped.UNBOUNDED], code)
        code = jnp.where(norm <= tol, _CODE[Stopped.CONVERGED], code)
        bad = ~jnp.isfinite(value) | ~jnp.isfinite(norm)
        code = jnp.where(bad, _CODE[Stopped.NOT_FINITE], code)
        return jnp.where(value <= bottom, _CODE[Stopped.UNBOUNDED], code).astype(jnp.int32)

    state = tx.init(x)
    start = _Loop(x, value, grad, size, state, zero, zero + 1, no, no, judge(value, size, zero, no, no))
    end = lax.while_loop(lambda s: s.code == _RUNNING, body, start)
    aux = fun(end.x, *args)[1] if has_aux else None
    return Minimum(end.x, end.value, end.grad, end.norm, end.steps, end.evaluations + has_aux, end.code, aux)


def _value_fn(fun: Any, args: Any, has_aux: bool, dtype: Any) -> Callable[[Any], jax.Array]:
    """x -> value. It checks what `fun` returns while it is traced: a run that is compiled already pays nothing."""

    def value_fn(x: Any) -> jax.Array:
        out = fun(x, *args)
        if has_aux and not (isinstance(out, tuple) and len(out) == 2):
            raise StructureError("minimize: with has_aux=True, fun must return a pair (value, aux).")
        value = out[0] if has_aux else out
        if jnp.shape(value) != () or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
            raise StructureError(f"minimize: fun must return a real scalar, got {jax.typeof(value)}.")
        return jnp.asarray(value, dtype)

    return value_fn


@functools.cache
def _default_lbfgs() -> Any:
    return lbfgs()


def _line_search(tx: Any) -> Any:
    """The line search that a transformation ends in, or None."""
    while isinstance(body_of(tx), Chain) and tx.children:
        tx = list(tx.children.values())[-1]
    return tx if isinstance(tx, LineSearch) else None


def _last_state(tx: Any, state: Any) -> Any:
    """The state of the last link."""
    while isinstance(body := body_of(tx), Chain):
        state = list(body.states(state).values())[-1]
        tx = list(tx.children.values())[-1]
    return state


def _still_falling(search: Any) -> jax.Array:
    """Whether a search went far, decreasing the function, and has not met the curvature condition there."""
    if not hasattr(search.info, "curvature_error"):
        return jnp.asarray(False)
    return (
        (search.learning_rate >= _FAR) & (search.info.decrease_error == 0) & (search.info.curvature_error > 0)
    )


def _any_infinite(bounds: Any) -> jax.Array:
    return functools.reduce(jnp.logical_or, [jnp.any(jnp.isinf(b)) for b in jax.tree.leaves(bounds)])


def _like(new: Any, old: Any) -> Any:
    return jax.tree.map(lambda n, o: jnp.asarray(n, jnp.result_type(o)), new, old)
