"""Derivatives through a solution, from the equation that it solves and not from the steps that found it.

    F(x*(theta), theta) = 0      =>      dF/dx dx* = -dF/dtheta dtheta

One linear system replaces the history of the solver: memory does not grow with its steps, and the solver may hold
loops, line searches or code that JAX cannot differentiate. Forward mode solves the system, reverse mode its transpose.

Sources: Krantz & Parks 2013, doi:10.1007/978-1-4614-5981-1; Blondel et al. 2022, arXiv:2105.15183.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse import linalg

from nablax import tree
from nablax.core import FUNCTION, ArgumentError, StructureError

_SOLVERS = {"cg": linalg.cg, "gmres": linalg.gmres, "bicgstab": linalg.bicgstab}


def _linear_solver(who: str, solve: Any) -> Callable[[Any, Any], Any]:
    if callable(solve):
        return solve
    if not isinstance(solve, str) or solve not in _SOLVERS:
        raise ArgumentError(
            f"{who}: solve must be one of {', '.join(map(repr, _SOLVERS))} or a function (matvec, b) -> x, got "
            f"{solve!r}."
        )
    method = _SOLVERS[solve]

    def run(matvec: Callable[[Any], Any], b: Any) -> Any:
        # Far below the accuracy that one asks of a derivative, and still above what rounding lets the solver reach.
        tol = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(b))).eps) ** 0.75
        # The solvers' own arithmetic is in at least float32; some know no other.
        wide = tree.cast_like(b, jax.tree.map(lambda x: jnp.zeros((), tree.at_least_float32(x.dtype)), b))
        return tree.cast_like(
            method(lambda v: tree.cast_like(matvec(tree.cast_like(v, b)), v), wide, tol=tol)[0], b
        )

    return run


def _solve(linear_solver: Callable[[Any, Any], Any], matvec: Callable[[Any], Any], b: Any) -> Any:
    """x with matvec(x) = b, differentiable any number of times.

    The system goes to JAX as one vector: of a tree, JAX's rule of transposition wants every leaf to depend on what is
    differentiated or none, and a leaf of b may be free of the arguments.
    """
    flat, unravel = ravel_pytree(b)

    def flat_matvec(v: jax.Array) -> jax.Array:
        return ravel_pytree(matvec(unravel(v)))[0]

    def solve(along: Callable[[Any], Any], c: jax.Array) -> jax.Array:
        return ravel_pytree(linear_solver(lambda v: unravel(along(ravel_pytree(v)[0])), unravel(c)))[0]

    return unravel(lax.custom_linear_solve(flat_matvec, flat, solve, transpose_solve=solve))


def custom_root(
    optimality_fun: Callable[..., Any], *, has_aux: bool = False, solve: Any = "gmres"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for solvers: differentiates their solution by the implicit function theorem.

    The solver is a function `solver(x0, *args)` that returns x with `optimality_fun(x, *args)` zero, a tree like x. For
    a minimizer, that is the gradient. Derivatives go to `args`, trees of arrays, of which integers and random keys get
    none; the solution does not depend on x0. They are as exact as the solution: its error enters once. Derivatives of
    derivatives follow from the same equation, differentiated again.

    Args:
      optimality_fun: `F(x, *args)`, differentiable by JAX.
      has_aux: the solver returns `(x, aux)`; aux gets no derivative.
      solve: of the linear system: "cg" where dF/dx is symmetric and positive definite, as at a strict minimum;
        "gmres" or "bicgstab" for any regular one; or a function `(matvec, b) -> x`.

    Returns:
      A decorator. The decorated solver can be jitted, mapped, and differentiated forward and in reverse.

    Raises:
      ArgumentError: optimality_fun is no function; another `solve`; by the solver, keyword-only arguments or arguments
        that are no arrays; at the first derivative, a solution of integers.
      StructureError: at the first derivative, F does not have the structure and shapes of x.

    Defaults: GMRES takes any regular system. The authors' implementation solves normal equations, whose condition
    number is squared.

    Source: Blondel et al. 2022, arXiv:2105.15183.

    Example:
      >>> def f(x, theta):
      ...     return jnp.sum((x - theta) ** 2) + jnp.sum(x**2)
      >>> @custom_root(jax.grad(f), solve="cg")
      ... def solver(x0, theta):
      ...     return theta / 2  # stands for any minimizer
      >>> jax.jacobian(solver, argnums=1)(jnp.zeros(2), jnp.array([1.0, 2.0]))
      Array([[0.5, 0. ],
             [0. , 0.5]], dtype=float32)
    """
    FUNCTION("custom_root", "optimality_fun", optimality_fun)
    return _decorator("custom_root", optimality_fun, has_aux, solve)


def custom_fixed_point(
    fixed_point_fun: Callable[..., Any], *, has_aux: bool = False, solve: Any = "gmres"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like `custom_root`, for solvers of x = T(x, *args).

    Args:
      fixed_point_fun: `T(x, *args)`, a tree like x.
      has_aux, solve: as in `custom_root`.

    Defaults: as in `custom_root`.

    Source: Blondel et al. 2022, arXiv:2105.15183.
    """

    def residual(x: Any, *args: Any) -> Any:
        return tree.sub(fixed_point_fun(x, *args), x)

    FUNCTION("custom_fixed_point", "fixed_point_fun", fixed_point_fun)
    return _decorator("custom_fixed_point", residual, has_aux, solve)


def _decorator(
    who: str, residual: Callable[..., Any], has_aux: bool, solve: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    linear_solver = _linear_solver(who, solve)

    def decorate(solver: Callable[..., Any]) -> Callable[..., Any]:
        @jax.custom_jvp
        def solution(x0: Any, args: tuple[Any, ...]) -> Any:
            out = solver(x0, *args)
            return out if has_aux else (out, None)

        @solution.defjvp
        def solution_jvp(primals: Any, tangents: Any) -> Any:
            (x0, args), (_, args_dot) = primals, tangents
            x, aux = solution(x0, args)
            _check(who, x, jax.eval_shape(residual, x, *args))
            # Linearized, so that reverse mode can transpose them.
            _, along_args = jax.linearize(lambda *a: residual(x, *a), *args)
            _, along_x = jax.linearize(lambda y: residual(y, *args), x)
            b = jax.tree.map(jnp.negative, along_args(*args_dot))
            x_dot = _solve(linear_solver, along_x, b)
            return (x, aux), (x_dot, jax.tree.map(_no_tangent, aux))

        @functools.wraps(solver)
        def wrapped(*given: Any, **named: Any) -> Any:
            # A rule of differentiation knows arguments by position only.
            bound = inspect.signature(solver).bind(*given, **named)
            if named:
                bound.apply_defaults()
            if bound.kwargs:
                raise ArgumentError(
                    f"{who}: the solver's arguments must be positional or have a position, got the keyword-only "
                    f"{', '.join(bound.kwargs)}."
                )
            _check_arrays(who, bound.arguments)
            x0, *args = bound.args
            x, aux = solution(x0, tuple(args))
            return (x, aux) if has_aux else x

        return wrapped

    return decorate


def _no_tangent(x: Any) -> Any:
    dtype = jnp.result_type(x)
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.zeros_like(x)
    return np.zeros(jnp.shape(x), jax.dtypes.float0)


def _check_arrays(who: str, arguments: dict[str, Any]) -> None:
    for name, argument in arguments.items():
        for leaf in jax.tree.leaves(argument):
            try:
                jax.typeof(leaf)
            except TypeError as e:
                raise ArgumentError(
                    f"{who}: arguments of the solver must be trees of arrays, got {type(leaf).__name__} in {name}: "
                    f"{leaf!r}. Close over what is no array, in the solver and in its equation."[:400]
                ) from e


def _check(who: str, x: Any, out: Any) -> None:
    for leaf in jax.tree.leaves(x):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise ArgumentError(
                f"{who}: a solution with derivatives must be of a floating dtype, got {jnp.result_type(leaf)}."
            )
    same: bool = jax.tree.structure(x) == jax.tree.structure(out)  # type: ignore[operator]
    if not same or any(
        jnp.shape(a) != b.shape for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(out), strict=True)
    ):
        raise StructureError(
            f"{who}: the function must return a tree like x, of as many equations as unknowns; got "
            f"{jax.tree.map(lambda s: s.shape, out)} for x of {jax.tree.map(jnp.shape, x)}."
        )
