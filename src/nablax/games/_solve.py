"""`solve`: a method, a field and a first point, in one compiled while loop.

Step k evaluates the field at z_k (methods that never do, at the point that they step from), so the residual of z_k is
known in the middle of step k. When it decides to stop, z_k is kept and what the step made is thrown away: the point
that comes back is the one that was judged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import io_callback

from nablax import tree
from nablax.core import ArgumentError, HyperparameterError, StructureError, check_nonnegative, check_positive
from nablax.games._field import Field, as_field, structures
from nablax.games._solution import REASONS, Solution, Stopped
from nablax.games.methods._method import Method
from nablax.games.methods._simultaneous import simultaneous

_RUNNING = -1
_CODE = {reason: i for i, reason in enumerate(REASONS)}


class _Loop(NamedTuple):
    k: jax.Array
    code: jax.Array
    z: Any
    state: Any
    average: Any
    best: Any
    least: jax.Array
    bound: jax.Array
    residuals: jax.Array


def solve(
    method: Any,
    field: Any,
    z0: Any,
    *,
    steps: int,
    tol: float = 0.0,
    batches: Any = None,
    callback: Callable[[Any, Any, Any], Any] | None = None,
    key: jax.Array | None = None,
    max_growth: float = 1e8,
) -> Solution:
    """Plays a game until it is solved: until |F(z)|, or |z - P(z - F(z))| under constraints, is at most tol.

    The loop is compiled once for each method, field and shape; called again with the same two objects it only runs.
    It also runs under jit and vmap.

    Args:
      method: one of `games.methods`, or a gradient transformation, with which all players then step at once (each
        update counts as a step).
      field: from `games.field`, `games.operator` or `games.lagrangian`; any other function of the point is taken as
        an operator.
      z0: the first point: a dict by player, or for an operator any tree. Integers become floats. It is projected.
      steps: at most so many, at least 1.
      tol: bound on the residual, not negative.
      batches: data for the field's `batch`: a function of the step, or a tree of arrays whose leading axis holds one
        batch each, taken in turns. All evaluations of one step see the same batch.
      callback: `callback(step, z, residual)`, called on the host in every step, in order; a true result stops the
        loop. It costs a round trip to the host a step.
      key: where the field takes a `key`: step k gets `fold_in(key, k)`.
      max_growth: stop where the residual exceeds this many times the first one, or 1 where the first is less.

    Returns:
      A `Solution`. With data or a key, residuals are those of the batches.

    Raises:
      ArgumentError: no method; `batches` is no data; the method does not fit the field.
      HyperparameterError: steps, tol or max_growth out of range.
      StructureError: z0 does not have the field's players, or the field's value differs from it.

    Defaults: tol = 0 goes all the steps; max_growth is far beyond what a method that converges does.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import games
      >>> F = games.field(lambda x, y: x @ y, minimize="x", maximize="y")
      >>> z0 = {"x": jnp.ones(2), "y": jnp.ones(2)}
      >>> solution = games.solve(games.methods.extragradient(0.5), F, z0, steps=200, tol=1e-6)
      >>> bool(solution.converged), solution.reason.value
      (True, 'The residual fell to the tolerance.')
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise HyperparameterError(f"games.solve: steps must be an integer of at least 1, got {steps!r}.")
    check_nonnegative("games.solve", tol=tol)
    check_positive("games.solve", max_growth=max_growth)
    method, field, z = prepare(method, field, z0)
    _check_batches(batches)
    data, batch_of = (None, batches) if callable(batches) else (batches, None)
    solution = _run(
        z,
        tol,
        data,
        key,
        max_growth,
        method=method,
        field=field,
        steps=steps,
        callback=callback,
        batch_of=batch_of,
    )
    if callback is not None:
        jax.block_until_ready(solution)  # so that no call of the callback is still to come
    return solution


def prepare(method: Any, field: Any, z0: Any) -> tuple[Method, Field, Any]:
    """A method, a field and a point as the loops take them."""
    if not isinstance(method, Method):
        if not (hasattr(method, "init") and hasattr(method, "update")):
            raise ArgumentError(
                "games.solve: method must be one of games.methods, such as methods.extragradient(0.1), or a gradient "
                f"transformation, got {type(method).__name__}."
            )
        method = simultaneous(method)
    return method, as_field("games.solve", field), jax.tree.map(_as_float, z0)


def _as_float(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    # Strong types: a weakly typed start would change its type in the loop.
    return jnp.asarray(x, x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.result_type(float))


def _check_batches(batches: Any) -> None:
    if batches is None or callable(batches):
        return
    sizes = {jnp.shape(x)[:1] for x in jax.tree.leaves(batches)}
    if len(sizes) != 1 or sizes in ({()}, {(0,)}):
        raise ArgumentError(
            "games.solve: batches must be a function of the step, or arrays with one leading axis of batches, got "
            f"leading axes {sorted(sizes)}."
        )


def bind(field: Field, k: Any, batches: Any, batch_of: Any, key: Any) -> Field:
    """The field of step k."""
    if batch_of is not None:
        batch = batch_of(k)
    elif batches is not None:
        batch = jax.tree.map(lambda x: x[k % len(x)], batches)
    else:
        batch = field.batch
    return field.bind(batch, field.key if key is None else jax.random.fold_in(key, k))


@functools.partial(jax.jit, static_argnames=("method", "field", "steps", "callback", "batch_of"))
def _run(
    z: Any, tol: Any, batches: Any, key: Any, max_growth: Any, *, method: Method, field: Field, steps: int,
    callback: Any, batch_of: Any,
) -> Solution:  # fmt: skip
    field = method.prepare(field)
    z = field.project(z)
    at = functools.partial(bind, field, batches=batches, batch_of=batch_of, key=key)
    _check_value(at(jnp.zeros((), jnp.int32)), z)
    wide = jax.tree.map(lambda x: x.astype(tree.at_least_float32(x.dtype)), z)
    dtype = jnp.result_type(*[jnp.finfo(x.dtype).dtype for x in jax.tree.leaves(wide)])

    def judge(k: Any, seen: Any, value: Any, bound: Any, here: Field) -> tuple[Any, Any]:
        residual = here.residual(seen, value).astype(dtype)
        code = jnp.where(residual > bound, _CODE[Stopped.DIVERGED], _RUNNING)
        code = jnp.where(residual <= tol, _CODE[Stopped.CONVERGED], code)
        finite = jnp.isfinite(residual)
        if here.projections:  # which may hide what is not finite
            finite &= jnp.isfinite(tree.norm(value))
        return residual, jnp.where(finite, code, _CODE[Stopped.NOT_FINITE]).astype(jnp.int32)

    def body(loop: _Loop) -> _Loop:
        here = at(loop.k)
        done = method.step(here, loop.z, loop.state)
        residual, code = judge(loop.k, done.seen, done.value, loop.bound, here)
        if callback is not None:
            asked = io_callback(
                _truth(callback), jax.ShapeDtypeStruct((), bool), loop.k, done.seen, residual, ordered=True
            )
            code = jnp.where(asked & (code == _RUNNING), _CODE[Stopped.CALLBACK], code)
        going = code == _RUNNING
        better = residual < loop.least
        n = (loop.k + 1).astype(dtype)
        average = jax.tree.map(
            lambda a, x: jnp.where(going, a + (x.astype(a.dtype) - a) / n.astype(a.real.dtype), a),
            loop.average,
            done.average,
        )
        return _Loop(
            k=loop.k + going,
            code=code,
            z=tree.where(going, tree.cast_like(done.z, z), done.seen),
            state=done.state,
            average=average,
            best=tree.where(better, done.seen, loop.best),
            least=jnp.where(better, residual, loop.least),
            bound=jnp.where(loop.k == 0, max_growth * jnp.maximum(residual, 1), loop.bound).astype(dtype),
            residuals=loop.residuals.at[loop.k].set(residual),
        )

    infinite = jnp.asarray(jnp.inf, dtype)
    loop = lax.while_loop(
        lambda loop: (loop.k < steps) & (loop.code == _RUNNING),
        body,
        _Loop(
            k=jnp.zeros((), jnp.int32),
            code=jnp.asarray(_RUNNING, jnp.int32),
            z=z,
            state=method.init(field, z),
            average=wide,
            best=z,
            least=infinite,
            bound=infinite,
            residuals=jnp.full((steps + 1,), jnp.nan, dtype),
        ),
    )
    # The last point of a full run has not been judged yet.
    last = at(loop.k)
    ended = loop.code == _RUNNING
    residual, code = judge(loop.k, loop.z, last(loop.z), loop.bound, last)
    residual = jnp.where(ended, residual, loop.residuals[loop.k])
    code = jnp.where(ended, jnp.where(code == _RUNNING, _CODE[Stopped.STEPS], code), loop.code)
    best = tree.where(ended & (residual < loop.least), loop.z, loop.best)
    failed = (code == _CODE[Stopped.NOT_FINITE]) | (code == _CODE[Stopped.DIVERGED])
    each = method.evaluations(field) if callable(method.evaluations) else method.evaluations
    return Solution(
        point=tree.where(failed, best, loop.z),
        last=loop.z,
        average=loop.average,
        best=best,
        residual=residual,
        residuals=loop.residuals.at[loop.k].set(residual),
        steps=loop.k,
        evaluations=each * (loop.k + ~ended) + 1,
        code=code,
    )


def _check_value(field: Field, z: Any) -> None:
    """The field has the structure and shapes of the point."""
    value = jax.eval_shape(field, z)
    wanted, got = structures(z, value)
    if wanted != got:
        raise StructureError(f"games.solve: the field has the structure {got}, the point {wanted}.")
    for (path, x), v in zip(jax.tree.flatten_with_path(z)[0], jax.tree.leaves(value), strict=True):
        if x.shape != v.shape:
            raise StructureError(
                f"games.solve: the field at {tree.path_str(path)} has the shape {v.shape}, the point {x.shape}."
            )


def _truth(callback: Callable[..., Any]) -> Callable[..., Any]:
    return lambda k, z, residual: bool(callback(int(k), z, float(residual)))
