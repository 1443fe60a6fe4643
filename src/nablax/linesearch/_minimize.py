"""`minimize`: a function, a first point and a method; what it takes, before `_loop` runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import TRANSFORMATION, ArgumentError, check_number, with_extra_args_support
from nablax.linesearch._bounds import bounds_like
from nablax.linesearch._loop import run
from nablax.linesearch._result import Minimum


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
      max_steps: at most so many updates, an integer of at least 1.
      has_aux: fun returns something beside the value.
      bounds: `(lower, upper)`: each None, a number, or a tree like x0 or a prefix of it, of arrays that broadcast;
        infinite entries are no bounds, and `jax.experimental.checkify` checks those that are traced. "lbfgs" then
        takes projected quasi-Newton steps; after an update of a transformation the point is projected.

    Returns:
      A `Minimum`: point, value, gradient and its norm, steps, evaluations, whether it converged and why it stopped.

    Raises:
      ArgumentError: method is neither, fun is no function, max_steps no integer, args no tuple, or bounds no pair.
      HyperparameterError: tol or max_steps out of range, a lower bound above its upper one, NaN as a bound.
      StructureError: fun's value is no real scalar, bounds do not fit x0, or x0 is complex and bounded.

    Defaults: tol = 1e-5 is that of SciPy's BFGS and L-BFGS-B for the gradient; max_steps a bound that stops what goes
    on for ever.

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
    if not isinstance(args, tuple | list):
        raise ArgumentError(f"minimize: args must be a tuple of what fun gets after x, got {args!r}."[:300])
    if isinstance(method, str) and method != "lbfgs":
        raise ArgumentError(f"minimize: method must be 'lbfgs' or a gradient transformation, got {method!r}.")
    check_number("minimize", "tol", tol, 0)
    check_number("minimize", "max_steps", max_steps, 1, integer=True)
    if x0 is None:
        raise ArgumentError("minimize: x0 must be a number, an array or a tree of them, got None.")
    x0 = jax.tree.map(_as_float, x0)
    for argument, value in {"tol": tol, "max_steps": max_steps}.items():
        if jnp.ndim(value):
            raise ArgumentError(
                f"minimize: {argument} must be a number, got an array of shape {jnp.shape(value)}."
            )
    box = None if bounds is None else bounds_like(bounds, x0)
    if not isinstance(method, str):
        TRANSFORMATION("minimize", "method", method)
    tx = None if isinstance(method, str) else with_extra_args_support(method)
    return run(x0, args, box, tol, max_steps, fun=fun, tx=tx, has_aux=has_aux)


def _as_float(x: Any) -> jax.Array:
    """As a floating array that is not weakly typed: a loop keeps its types."""
    if isinstance(x, jax.Array) and not x.weak_type and jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError):
        raise ArgumentError(f"minimize: x0 must hold numbers, got {type(x).__name__}: {x!r}."[:300]) from None
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.result_type(float)
    return jnp.asarray(x, dtype)
