"""Slopes at kinks: where a function has no derivative, the wing takes the number that torch takes.

JAX's own choice agrees for most (relu, sign, max and min of arrays and of axes, sqrt, prod); here is what differs. The
derivatives are still JAX's: the functions are written so that it finds these slopes, or as a jvp of one line where a
formula has 0/0. tests/autograd/test_kinks.py is the table of all; norms are in _norms.py.

    abs, fabs, copysign     0 at 0                              JAX: 1
    clip, clamp             1 at a bound, none for the bound    JAX: 1/2 each
    leaky_relu              the slope of the left at 0          JAX: that of the right
    hard_tanh               0 at -1 and 1                       JAX: 1
    fmax, fmin              the first argument where equal      JAX: the second
    norm, std               0 at 0                              JAX: NaN
    atan2                   0 at (0, 0)                         JAX: NaN
    power                   0 for the base where y = 0          JAX: NaN at x = 0
    hypot                   0 at (0, 0), as its norm            JAX: 1/2; torch: NaN
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._operation._written import _elementwise as rules
from .._operation._written import by


def like(theirs: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a function the name and the documentation of JAX's."""
    return functools.wraps(theirs, updated=())


def _real(*xs: Any) -> list[jax.Array] | None:
    """Arguments in their common real floating type; None if that is complex."""
    kind = jnp.result_type(*xs, 1.0)
    return None if jnp.issubdtype(kind, jnp.complexfloating) else [jnp.asarray(x, kind) for x in xs]


def inexact(x: Any) -> jax.Array:
    """As an array of floating or complex numbers."""
    return jnp.asarray(x, jnp.result_type(x, 1.0))


def _inverse(x: jax.Array) -> jax.Array:
    """1 / x, and 0 at 0."""
    zero = x == 0
    return jnp.where(zero, 0, 1 / jnp.where(zero, 1, x))


# -- of one number ----------------------------------------------------------------------------------------------------


@jax.custom_jvp
def _abs(x: Any) -> jax.Array:
    return jnp.abs(x)


_abs.defjvps(lambda t, y, x: t * jnp.sign(x))


@like(jnp.abs)
def abs(x: Any, /) -> jax.Array:
    return _abs(x) if jnp.issubdtype(jnp.result_type(x), jnp.floating) else jnp.abs(x)


by(rules.absolute, abs)


@like(jnp.fabs)
def fabs(x: Any, /) -> jax.Array:
    at = _real(x)
    return jnp.fabs(x) if at is None else _abs(*at)


@like(jnp.copysign)
def copysign(x1: Any, x2: Any, /) -> jax.Array:
    at = _real(x1, x2)
    return jnp.copysign(x1, x2) if at is None else jnp.copysign(_abs(at[0]), at[1])


@jax.custom_jvp
def root(x: Any) -> jax.Array:
    """The square root, with slope 0 at 0."""
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> Any:
    y = root(*primals)
    return y, tangents[0] * _inverse(y) * 0.5


@like(jnp.clip)
def clip(arr: Any, /, min: Any = None, max: Any = None) -> jax.Array:
    if jnp.issubdtype(jnp.result_type(*[v for v in (arr, min, max) if v is not None]), jnp.complexfloating):
        return jnp.clip(arr, min, max)  # says why not
    x = jnp.asarray(arr)
    if min is not None:
        x = jnp.where((x < min) | jnp.isnan(min), min, x)
    return x if max is None else jnp.where((x > max) | jnp.isnan(max), max, x)


by(rules.clip, clip)


@like(jax.nn.leaky_relu)
def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> jax.Array:
    x = jnp.asarray(x)
    return jnp.where(x > 0, x, negative_slope * x)


by(rules.leaky_relu, leaky_relu)


@like(jax.nn.hard_tanh)
def hard_tanh(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return jnp.where(x >= 1, 1, jnp.where(x <= -1, -1, x))


# -- of two -----------------------------------------------------------------------------------------------------------


@like(jnp.fmax)
def fmax(x1: Any, x2: Any) -> jax.Array:
    return jnp.where((jnp.asarray(x1) >= x2) | jnp.isnan(x2), x1, x2)


@like(jnp.fmin)
def fmin(x1: Any, x2: Any) -> jax.Array:
    return jnp.where((jnp.asarray(x1) <= x2) | jnp.isnan(x2), x1, x2)


@jax.custom_jvp
def _arctan2(y: Any, x: Any) -> jax.Array:
    return jnp.arctan2(y, x)


@_arctan2.defjvp
def _arctan2_jvp(primals: Any, tangents: Any) -> Any:
    (y, x), (dy, dx) = primals, tangents
    return _arctan2(y, x), (x * dy - y * dx) * _inverse(x * x + y * y)


@like(jnp.arctan2)
def arctan2(x1: Any, x2: Any, /) -> jax.Array:
    at = _real(x1, x2)
    return jnp.arctan2(x1, x2) if at is None else _arctan2(*at)


@jax.custom_jvp
def _hypot(x: Any, y: Any) -> jax.Array:
    return jnp.hypot(x, y)


@_hypot.defjvp
def _hypot_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    r = _hypot(x, y)
    inverse = _inverse(r)
    return r, x * inverse * dx + y * inverse * dy


@like(jnp.hypot)
def hypot(x1: Any, x2: Any, /) -> jax.Array:
    at = _real(x1, x2)
    return jnp.hypot(x1, x2) if at is None else _hypot(*at)


@jax.custom_jvp
def _power(x: Any, y: Any) -> jax.Array:
    return jnp.power(x, y)


@_power.defjvp
def _power_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    z = _power(x, y)
    by_x = _by_base(_power, x, y)
    by_y = z * jnp.log(jnp.where(x == 0, 1, x))
    return z, by_x * dx + by_y * dy


@jax.custom_jvp
def _integer_power(x: Any, n: Any) -> jax.Array:
    return jnp.power(x, n)


@_integer_power.defjvp
def _integer_power_jvp(primals: Any, tangents: Any) -> Any:
    (x, n), (dx, _) = primals, tangents
    return _integer_power(x, n), _by_base(_integer_power, x, n) * dx


def _by_base(power: Callable[..., Any], x: Any, y: Any) -> jax.Array:
    """The slope of x^y for x, by a power that has this slope in turn; 0 where y = 0."""
    zero = y == 0
    return jnp.where(zero, 0, y * power(x, jnp.where(zero, 1, y - 1)))


@like(jnp.power)
def power(x1: Any, x2: Any, /) -> jax.Array:
    if jnp.issubdtype(jnp.result_type(x2), jnp.integer):
        smooth = jnp.issubdtype(jnp.result_type(x1), jnp.inexact)
        return _integer_power(jnp.asarray(x1), x2) if smooth else jnp.power(x1, x2)
    if isinstance(x2, float):  # a number: JAX's rule is right for all but 0
        return jnp.asarray(x1) ** x2 if x2 else jnp.asarray(x1, jnp.result_type(x1, 1.0)) ** 0
    at = _real(x1, x2)
    return jnp.power(x1, x2) if at is None else _power(*at)


NAMED: dict[tuple[str, str], Callable[..., Any]] = {  # namespace, name -> what it is there
    ("numpy", "abs"): abs, ("numpy", "absolute"): abs, ("numpy", "fabs"): fabs, ("numpy", "copysign"): copysign,
    ("numpy", "clip"): clip, ("numpy", "fmax"): fmax, ("numpy", "fmin"): fmin, ("numpy", "arctan2"): arctan2,
    ("numpy", "atan2"): arctan2, ("numpy", "hypot"): hypot, ("numpy", "power"): power, ("numpy", "pow"): power,
    ("nn", "leaky_relu"): leaky_relu, ("nn", "hard_tanh"): hard_tanh,
}  # fmt: skip
