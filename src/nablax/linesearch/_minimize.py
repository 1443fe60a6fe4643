"""`minimize`: a function, a first point and a method, in one compiled loop.

The loop carries value and gradient at the current point. A line search ends where it has just evaluated both, so the
next step takes them from its state; after any other transformation they are evaluated once a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import checkify

from nablax import tree
from nablax.core import (
    ArgumentError,
    HyperparameterError,
    StructureError,
    apply_updates,
    check_number,
    with_extra_args_support,
)
from nablax.core._chain import Chain
from nablax.linesearch._box import project, projected_lbfgs
from nablax.linesearch._lbfgs import lbfgs
from nablax.linesearch._objective import LineSearch, scalar_dtype
from nablax.linesearch._result import REASONS, Minimum, Stopped
from nablax.tree._traverse import is_none

_RUNNING = -1
_CODE = {reason: i for i, reason in enumerate(REASONS)}


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    method: Any = "lbfgs",
    *,
    args: tuple[Any, ...] = (),
    tol: float = 1e-5,
    max_steps: int = 1000,
    has_aux: bool = False,
    bounds: tuple[Any, Any] | None = None,
) -> Minimum:
    """Minimizes a function of a tree of arrays.

    The loop is compiled once for each function, method and shape; called again with the same objects it only runs. It
    also runs under jit and vmap. Data belongs into `args`: a function made anew around each data set compiles anew.

    Args:
      fun: `fun(x, *args)` returns a scalar, with `has_aux` a pair of a scalar and a tree; differentiable by JAX.
      x0: the first point, real or complex; integers become floats. It is projected onto the bounds.
      method: "lbfgs", or a gradient transformation. It gets `value=`, `grad=` and `value_fn=` where it takes them.
      args: tree of arrays that `fun` gets after x.
      tol: the loop ends where no entry of the gradient is greater, not negative. Under bounds, no entry of
        x - P(x - grad), where P projects onto them. In float32, less than about 1e-6 times a typical second
        derivative cannot be reached.
      max_steps: at most so many updates, at least 1.
      has_aux: fun returns something beside the value.
      bounds: `(lower, upper)`: each None, a number, or a tree like x0 or a prefix of it, of arrays that broadcast;
        infinite entries are no bounds, and `jax.experimental.checkify` checks those that are traced. "lbfgs" then
        takes projected quasi-Newton steps; after an update of a transformation the point is projected.

    Returns:
      A `Minimum`: point, value, gradient and its norm, steps, evaluations, whether it converged and why it stopped.

    Raises:
      ArgumentError: method is neither, fun is no function, or bounds is no pair.
      HyperparameterError: tol or max_steps out of range, a lower bound above its upper one, NaN as a bound.
      StructureError: fun's value is no real scalar, bounds do not fit x0, or x0 is complex and bounded.

    Source: Liu & Nocedal 1989, doi:10.1007/BF01589116; under bounds Bertsekas 1982, doi:10.1137/0320018.

    Example:
      >>> def rosenbrock(x):
      ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
      >>> result = minimize(rosenbrock, jnp.array([-1.2, 1.0]), tol=1e-3)
      >>> bool(result.converged), result.reason.value
      (True, 'The gradient norm fell to the tolerance.')
      >>> minimize(rosenbrock, jnp.array([-1.2, 1.0]), bounds=(None, 0.5), tol=1e-3).x
      Array([0.5 , 0.25], dtype=float32)
    """
    if not callable(fun):
        raise ArgumentError(f"minimize: fun must be a function, got {type(fun).__name__}.")
    check_number("minimize", "tol", tol, 0)
    check_number("minimize", "max_steps", max_steps, 1)
    x0 = jax.tree.map(_as_float, x0)
    box = None if bounds is None else _box(bounds, x0)
    if isinstance(method, str):
        if method != "lbfgs":
            raise ArgumentError(
                f"minimize: method must be 'lbfgs' or a gradient transformation, got {method!r}."
            )
        tx = None
    else:
        tx = with_extra_args_support(method)
    _check_value(fun, x0, args, has_aux)
    return _run(x0, args, box, tol, max_steps, fun=fun, tx=tx, has_aux=has_aux)


def _as_float(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.result_type(float)
    return jnp.asarray(x, dtype)  # no longer weakly typed: a loop keeps its types


def _check_value(fun: Any, x0: Any, args: Any, has_aux: bool) -> None:
    out = jax.eval_shape(fun, x0, *args)
    if has_aux and not (isinstance(out, tuple) and len(out) == 2):
        raise StructureError("minimize: with has_aux=True, fun must return a pair (value, aux).")
    value = out[0] if has_aux else out
    if (
        getattr(value, "shape", None) != ()
        or jnp.issubdtype(value.dtype, jnp.complexfloating)
        or not jnp.issubdtype(value.dtype, jnp.inexact)
    ):
        raise StructureError(f"minimize: fun must return a real scalar, got {value}.")


def _box(bounds: Any, x0: Any) -> tuple[Any, Any]:
    """Lower and upper bounds as trees like x0."""
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ArgumentError(f"minimize: bounds must be a pair (lower, upper), got {bounds!r}."[:300])
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(x0)):
        raise StructureError("minimize: bounds need real parameters, got complex ones.")

    def spread(name: str, bound: Any, infinite: float) -> Any:
        bound = infinite if bound is None else bound
        try:
            full = jax.tree.broadcast(bound, x0, is_leaf=is_none)
            return jax.tree.map(
                lambda b, x: (
                    None
                    if x is None
                    else jnp.broadcast_to(jnp.asarray(infinite if b is None else b, x.dtype), x.shape)
                ),
                full,
                x0,
                is_leaf=is_none,
            )
        except ValueError as e:
            raise StructureError(
                f"minimize: the {name} bounds do not fit x0; bounds are a pair (lower, upper), each None, a "
                f"number or a tree like x0. {e}"
            ) from e

    lower, upper = spread("lower", bounds[0], -jnp.inf), spread("upper", bounds[1], jnp.inf)
    for a, b in zip(jax.tree.leaves(lower), jax.tree.leaves(upper), strict=True):
        if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
            checkify.debug_check(jnp.all(a <= b), "minimize: bounds must satisfy lower <= upper.")
        elif not bool(jnp.all(a <= b)):  # false for NaN too
            where = jnp.argmin(a <= b)
            raise HyperparameterError(
                f"minimize: bounds must satisfy lower <= upper, got {float(a.ravel()[where]):g} and "
                f"{float(b.ravel()[where]):g}."
            )
    return lower, upper


class _Loop(NamedTuple):
    """code: why it stopped, -1 while running. stuck: whether the last step lowered neither value nor gradient."""

    x: Any
    value: jax.Array
    grad: Any
    norm: jax.Array
    state: Any
    steps: jax.Array
    evaluations: jax.Array
    stuck: jax.Array
    code: jax.Array


@functools.cache
def _default_lbfgs() -> Any:
    return lbfgs()


def _line_search(tx: Any) -> Any:
    """The line search that a transformation ends in, or None."""
    while isinstance(tx, Chain) and tx.children:
        tx = list(tx.children.values())[-1]
    return tx if isinstance(tx, LineSearch) else None


def _last_state(tx: Any, state: Any) -> Any:
    """The state of the last link."""
    while isinstance(tx, Chain):
        state = tx._states(state)[-1]
        tx = list(tx.children.values())[-1]
    return state


@functools.partial(jax.jit, static_argnames=("fun", "tx", "has_aux"))
def _run(
    x0: Any, args: Any, box: Any, tol: Any, max_steps: Any, *, fun: Any, tx: Any, has_aux: bool
) -> Minimum:
    dtype = scalar_dtype(x0)

    def value_fn(x: Any) -> jax.Array:
        out = fun(x, *args)
        return (out[0] if has_aux else out).astype(dtype)

    value_and_grad = jax.value_and_grad(value_fn)
    if tx is None:
        tx = _default_lbfgs() if box is None else projected_lbfgs(*box)
    search = _line_search(tx)
    # Where a transformation of the user's is projected afterwards, its state knows another point.
    reuse = search is not None and search.stores_grad and (box is None or search.label == "projected_lbfgs")

    def norm(x: Any, grad: Any) -> jax.Array:
        if box is not None:
            ahead = jax.tree.map(lambda w, g: w - g, x, grad)
            grad = jax.tree.map(jnp.subtract, x, project(ahead, *box))
        return tree.norm(grad, ord="inf").astype(dtype)

    def judge(value: Any, norm: Any, steps: Any, stuck: Any) -> jax.Array:
        code = jnp.where(steps >= max_steps, _CODE[Stopped.STEPS], _RUNNING)
        code = jnp.where(stuck, _CODE[Stopped.NO_DECREASE], code)
        code = jnp.where(norm <= tol, _CODE[Stopped.CONVERGED], code)
        bad = ~jnp.isfinite(value) | ~jnp.isfinite(norm)
        return jnp.where(bad, _CODE[Stopped.NOT_FINITE], code).astype(jnp.int32)

    def body(s: _Loop) -> _Loop:
        ascent = tree.conj(s.grad)  # of a complex parameter, JAX's gradient is the conjugate
        updates, state = tx.update(ascent, s.state, s.x, value=s.value, grad=ascent, value_fn=value_fn)
        x = apply_updates(s.x, updates)
        if box is not None:
            x = project(x, *box)
        spent, stuck = _spent(search, _last_state(tx, state)), jnp.asarray(False)
        if reuse:
            last = _last_state(tx, state)
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
        steps = s.steps + 1
        return _Loop(
            x, value, grad, size, state, steps, s.evaluations + spent, stuck,
            judge(value, size, steps, stuck & s.stuck),
        )  # fmt: skip

    x = x0 if box is None else project(x0, *box)
    value, grad = value_and_grad(x)
    zero, no = jnp.zeros((), jnp.int32), jnp.asarray(False)
    size = norm(x, grad)
    state = tx.init(x)
    start = _Loop(x, value, grad, size, state, zero, zero + 1, no, judge(value, size, zero, no))
    end = lax.while_loop(lambda s: s.code == _RUNNING, body, start)
    aux = fun(end.x, *args)[1] if has_aux else None
    return Minimum(end.x, end.value, end.grad, end.norm, end.steps, end.evaluations + has_aux, end.code, aux)


def _spent(search: Any, state: Any) -> Any:
    """Evaluations of the last search."""
    if search is None:
        return jnp.zeros((), jnp.int32)
    return state.evaluations if hasattr(state, "evaluations") else state.info.num_linesearch_steps


def _like(new: Any, old: Any) -> Any:
    return jax.tree.map(lambda n, o: jnp.asarray(n, jnp.result_type(o)), new, old)
