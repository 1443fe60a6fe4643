"""Constrained problems as games of the variables and the multipliers.

    min_x f(x)  subject to  h(x) = 0,  g(x) <= 0
    min_x max_{mu, nu >= 0}  f(x) + <mu, h(x)> + <nu, g(x)>

Stationary points of the game, with the multipliers of inequalities projected onto the non-negatives, are the
Karush-Kuhn-Tucker points of the problem: the natural residual is zero exactly there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import ArgumentError
from nablax.games._field import Objective, ZeroSum
from nablax.projections import projection_non_negative

PRIMAL, EQUALITY, INEQUALITY = "x", "equality", "inequality"


@dataclasses.dataclass(frozen=True, eq=False)
class Lagrangian(ZeroSum):
    """A `Field` with players "x", and "equality" and "inequality" where there are such constraints."""

    constraints: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)

    def start(self, x: Any, batch: Any = None, key: Any = None) -> dict[str, Any]:
        """The joint point of x with all multipliers zero."""
        z = {PRIMAL: x}
        for name, fn in self.constraints.items():
            shapes = jax.eval_shape(lambda x, fn=fn: fn({PRIMAL: x}, batch, key), x)
            z[name] = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return z

    def violation(self, x: Any, batch: Any = None, key: Any = None) -> jax.Array:
        """The largest violation of a constraint at x; 0 where all hold."""
        worst = [jnp.zeros(())]
        for name, fn in self.constraints.items():
            value = jax.tree.map(jnp.abs if name == EQUALITY else lambda v: v, fn({PRIMAL: x}, batch, key))
            worst += [jnp.max(v) for v in jax.tree.leaves(value) if jnp.size(v)]
        return jnp.max(jnp.stack(worst))


def lagrangian(
    fun: Callable[..., Any],
    *,
    equality: Callable[..., Any] | None = None,
    inequality: Callable[..., Any] | None = None,
    projection: Callable[[Any], Any] | None = None,
) -> Lagrangian:
    """The game of a constrained problem: x minimises, the multipliers maximise the Lagrangian.

    Bilinear in the multipliers, it cycles under plain gradient descent-ascent: use extra-gradient or optimistic
    methods, or `nupi` for the multipliers, as in
    `methods.alternating({"x": adam(1e-2), "inequality": nupi(1e-2, kp=10.0)})`.

    Args:
      fun: objective, a function of x (any tree) that returns a scalar; like the constraints, it may name `batch` and
        `key`.
      equality: h, a function of x that returns arrays, zero where the constraints hold.
      inequality: g, the same, not positive where they hold.
      projection: onto a set of x.

    Returns:
      A `Field` that is also able to `start(x)` and to measure the `violation(x)`.

    Raises:
      ArgumentError: neither equality nor inequality.

    Source: Arrow, Hurwicz & Uzawa 1958; Platt & Barr 1987.

    Example: the point of the line x_1 + x_2 = 1 that is closest to the origin.
      >>> import jax.numpy as jnp
      >>> from nablax import games
      >>> F = games.lagrangian(lambda x: 0.5 * x @ x, equality=lambda x: x.sum() - 1)
      >>> solution = games.solve(games.methods.extragradient(0.5), F, F.start(jnp.zeros(2)), steps=100, tol=1e-6)
      >>> jnp.round(solution.point["x"], 5)
      Array([0.5, 0.5], dtype=float32)
    """
    given = {EQUALITY: equality, INEQUALITY: inequality}
    constraints = {n: _of_primal(fn, n) for n, fn in given.items() if fn is not None}
    if not constraints:
        raise ArgumentError("games.lagrangian: give equality= or inequality=, functions of x.")
    objective = _of_primal(fun, "the objective")

    def value(z: Any, batch: Any, key: Any) -> Any:
        total = objective(z, batch, key)
        for name, fn in constraints.items():
            total = total + tree.vdot(z[name], fn(z, batch, key))
        return total

    sets: dict[str, Callable[[Any], Any]] = {} if projection is None else {PRIMAL: projection}
    if inequality is not None:
        sets[INEQUALITY] = projection_non_negative
    players = (PRIMAL, *constraints)
    return Lagrangian(players, sets, objective=value, maximize=tuple(constraints), constraints=constraints)


def _of_primal(fn: Callable[..., Any], what: str) -> Callable[..., Any]:
    # The first argument is x, whatever its name.
    call = Objective(fn, (), f"games.lagrangian, {what}", scalar=what not in (EQUALITY, INEQUALITY))
    return lambda z, batch, key: call(z[PRIMAL], batch, key)
