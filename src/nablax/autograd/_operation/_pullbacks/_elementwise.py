"""Pullbacks of operations on each element. Slopes at kinks are JAX's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jax import lax

from .._writer import Atom, Writer

# Of writer, equation, cotangent of the result, and the number of an argument: the cotangent of the argument.
Pull = Callable[[Writer, Any, Any, int], Any]


def _of_one(rule: Callable[..., Atom]) -> Pull:
    """A rule of writer, cotangent, argument and result."""
    return lambda w, eqn, ct, i: rule(w, ct, eqn.invars[0], eqn.outvars[0])


def _of_two(*rules: Callable[..., Atom]) -> Pull:
    """For each argument a rule of writer, cotangent, both arguments and the result; the first may be repeated along
    the other."""

    def pull(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
        return summed_to(w, rules[i](w, ct, *eqn.invars, eqn.outvars[0]), eqn.invars[i].aval.shape)

    return pull


def summed_to(w: Writer, ct: Atom, shape: tuple[int, ...]) -> Atom:
    """A cotangent of an array that was repeated, as one of the array: summed over what was repeated."""
    wide = ct.aval.shape
    if wide == shape:
        return ct
    if not shape:
        return w.sum(ct, tuple(range(len(wide))))
    axes = tuple([i for i, (n, m) in enumerate(zip(shape, wide, strict=True)) if n != m])
    return w.reshape(w.sum(ct, axes), shape)


def _power(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    x, y = eqn.invars
    number = getattr(y, "val", None)
    if i or not number:  # an exponent that varies, or 0: there is more to say
        return NotImplemented
    return w.mul(ct, w.scaled(w.binary(lax.pow_p, x, w.number(number - 1, x.aval.dtype)), float(number)))


def _integer_power(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    (x,), n = eqn.invars, eqn.params["y"]
    if n == 0:
        return None
    if n == 1:
        return ct
    slope = x if n == 2 else w.unary(lax.integer_pow_p, x, y=n - 1)
    return w.mul(ct, w.scaled(slope, float(n)))


def _larger(primitive: Any) -> Callable[[int], Any]:
    """Of the larger (or smaller) of two; where they are equal, each has half."""

    def of(i: int) -> Any:
        def rule(w: Writer, ct: Atom, a: Atom, b: Atom, out: Atom) -> Atom:
            mine, other = (a, b) if i == 0 else (b, a)
            won = w.convert(w.compare(primitive, mine, other), ct.aval.dtype)
            tied = w.scaled(w.convert(w.compare(lax.eq_p, mine, other), ct.aval.dtype), 0.5)
            return w.mul(ct, w.add(won, tied))

        return rule

    return of


_max, _min = _larger(lax.gt_p), _larger(lax.lt_p)


def _select(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    which = eqn.invars[0]
    if which.aval.dtype != bool or len(eqn.invars) != 3:
        return NotImplemented
    zero = w.full(ct.aval.shape, 0, ct.aval.dtype)
    return w.select(which, ct, zero) if i == 1 else w.select(which, zero, ct)


def _clamp(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    low, x, high = eqn.invars
    if i != 1:
        return NotImplemented
    inside = w.binary(lax.and_p, w.compare(lax.gt_p, x, low), w.compare(lax.lt_p, x, high))
    return w.select(inside, w.full(ct.aval.shape, 0, ct.aval.dtype), ct)


def _one(w: Writer, x: Atom) -> Atom:
    return w.number(1, x.aval.dtype)


PULLS: dict[str, Pull] = {
    "neg": _of_one(lambda w, ct, x, y: w.neg(ct)),
    "exp": _of_one(lambda w, ct, x, y: w.mul(ct, y)),
    "exp2": _of_one(lambda w, ct, x, y: w.mul(ct, w.scaled(y, math.log(2)))),
    "log": _of_one(lambda w, ct, x, y: w.div(ct, x)),
    "log1p": _of_one(lambda w, ct, x, y: w.div(ct, w.add(x, _one(w, x)))),
    "expm1": _of_one(lambda w, ct, x, y: w.mul(ct, w.add(y, _one(w, y)))),
    "sin": _of_one(lambda w, ct, x, y: w.mul(ct, w.unary(lax.cos_p, x, accuracy=None))),
    "cos": _of_one(lambda w, ct, x, y: w.neg(w.mul(ct, w.unary(lax.sin_p, x, accuracy=None)))),
    "tan": _of_one(lambda w, ct, x, y: w.mul(ct, w.add(w.unary(lax.square_p, y), _one(w, y)))),
    "tanh": _of_one(lambda w, ct, x, y: w.mul(ct, w.sub(_one(w, y), w.unary(lax.square_p, y)))),
    "logistic": _of_one(lambda w, ct, x, y: w.mul(ct, w.mul(y, w.sub(_one(w, y), y)))),
    "sqrt": _of_one(lambda w, ct, x, y: w.div(w.scaled(ct, 0.5), y)),
    "rsqrt": _of_one(lambda w, ct, x, y: w.mul(ct, w.div(w.scaled(y, -0.5), x))),
    "square": _of_one(lambda w, ct, x, y: w.mul(ct, w.scaled(x, 2))),
    "abs": _of_one(
        lambda w, ct, x, y: w.select(w.compare(lax.ge_p, x, w.number(0, x.aval.dtype)), w.neg(ct), ct)
    ),
    "integer_pow": _integer_power,
    "pow": _power,
    "add": _of_two(lambda w, ct, a, b, y: ct, lambda w, ct, a, b, y: ct),
    "add_any": _of_two(lambda w, ct, a, b, y: ct, lambda w, ct, a, b, y: ct),
    "sub": _of_two(lambda w, ct, a, b, y: ct, lambda w, ct, a, b, y: w.neg(ct)),
    "mul": _of_two(lambda w, ct, a, b, y: w.mul(ct, b), lambda w, ct, a, b, y: w.mul(ct, a)),
    "div": _of_two(lambda w, ct, a, b, y: w.div(ct, b), lambda w, ct, a, b, y: w.neg(w.div(w.mul(ct, y), b))),
    "max": _of_two(_max(0), _max(1)),
    "min": _of_two(_min(0), _min(1)),
    "select_n": _select,
    "clamp": _clamp,
    "convert_element_type": _of_one(lambda w, ct, x, y: w.convert(ct, x.aval.dtype)),
    "copy": _of_one(lambda w, ct, x, y: ct),
    "copy_p": _of_one(lambda w, ct, x, y: ct),
}

# Piecewise constant, or made so: no gradient.
FLAT = {"sign", "floor", "ceil", "round", "stop_gradient"}
