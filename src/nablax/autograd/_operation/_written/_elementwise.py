"""Functions of each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._custom import custom, whole
from .._writer import BOOL, Atom, Writer
from ._rule import Rule, need, operands, strong


def _one(primitive: Any, **params: Any) -> Rule:
    return lambda w, x: w.unary(primitive, strong(x), **params)


def _fine(primitive: Any) -> Rule:
    """Of those that take a wish for accuracy."""
    return _one(primitive, accuracy=None)


def _compared(primitive: Any) -> Rule:
    def rule(w: Writer, a: Any, b: Any) -> Atom:
        return w.binary(primitive, *operands(w, a, b, "fi"), BOOL)

    return rule


def add(w: Writer, a: Any, b: Any) -> Atom:
    return w.add(*operands(w, a, b, "fi"))


def subtract(w: Writer, a: Any, b: Any) -> Atom:
    return w.sub(*operands(w, a, b, "fi"))


def multiply(w: Writer, a: Any, b: Any) -> Atom:
    return w.mul(*operands(w, a, b, "fi"))


def divide(w: Writer, a: Any, b: Any) -> Atom:
    return w.div(*operands(w, a, b))


def larger(w: Writer, a: Any, b: Any) -> Atom:
    return w.binary(lax.max_p, *operands(w, a, b))


def smaller(w: Writer, a: Any, b: Any) -> Atom:
    return w.binary(lax.min_p, *operands(w, a, b))


def power(w: Writer, x: Any, y: Any) -> Atom:
    strong(x)
    if hasattr(y, "aval"):
        need(strong(y, "i").aval.shape == x.aval.shape)
        return w.binary(lax.pow_p, x, y)
    if type(y) is int:
        need(y in (2, 3, 4))
        return w.unary(lax.integer_pow_p, x, y=y)
    need(type(y) is float and y)
    return w.binary(lax.pow_p, *operands(w, x, y))


def relu(w: Writer, x: Any) -> Atom:
    """Slope 0 at 0."""
    return whole(
        w, strong(x),
        lambda w, x: w.binary(lax.max_p, x, w.number(0, x.aval.dtype)),
        lambda w, ct, x, y: w.select(
            w.compare(lax.gt_p, x, w.number(0, x.aval.dtype)), w.full(ct.aval.shape, 0, ct.aval.dtype), ct
        ),
    )  # fmt: skip


def absolute(w: Writer, x: Any) -> Atom:
    """Slope 0 at 0."""
    return whole(
        w, strong(x),
        lambda w, x: w.unary(lax.abs_p, x),
        lambda w, ct, x, y: w.mul(ct, w.unary(lax.sign_p, x)),
    )  # fmt: skip


def _log_of_sum(w: Writer, x: Atom) -> Atom:
    """log(exp(x) + 1), from the larger of both; NaN where x is."""
    zero = w.number(0, x.aval.dtype)
    rest = w.unary(
        lax.log1p_p, w.unary(lax.exp_p, w.neg(w.unary(lax.abs_p, x)), accuracy=None), accuracy=None
    )
    return w.add(w.binary(lax.max_p, x, zero), rest)


def softplus(w: Writer, x: Any) -> Atom:
    return whole(
        w, strong(x), _log_of_sum,
        lambda w, ct, x, y: w.mul(ct, w.unary(lax.logistic_p, x, accuracy=None)),
    )  # fmt: skip


def log_sigmoid(w: Writer, x: Any) -> Atom:
    return w.neg(softplus(w, w.neg(strong(x))))


def leaky_relu(w: Writer, x: Any, negative_slope: Any = 1e-2) -> Atom:
    which = w.compare(lax.gt_p, strong(x), w.number(0, x.aval.dtype))
    return w.select(which, multiply(w, negative_slope, x), x)


def where(w: Writer, which: Any, yes: Any, no: Any) -> Atom:
    shape = strong(which, "b").aval.shape
    dtype = strong(yes if hasattr(yes, "aval") else no).aval.dtype
    found = []
    for x in (yes, no):
        if hasattr(x, "aval"):
            need(strong(x).aval.shape == shape and x.aval.dtype == dtype)
        else:
            need(type(x) in (int, float) and abs(x) <= np.finfo(dtype).max)
            x = w.full(shape, x, dtype)
        found.append(x)
    need(shape)
    return w.select(which, found[1], found[0])


def clip(w: Writer, x: Any, min: Any = None, max: Any = None) -> Atom:
    """Slope 1 at a bound."""
    need(strong(x).aval.shape and (min is not None or max is not None))
    bounds = []
    for bound, beyond in ((min, lax.lt_p), (max, lax.gt_p)):
        if bound is not None:
            need(not hasattr(bound, "aval"))  # which may be NaN
            bounds.append((operands(w, x, bound)[1], beyond))

    def forward(w: Writer, x: Atom) -> Atom:
        for number, beyond in bounds:
            x = w.select(w.compare(beyond, x, number), x, w.broadcast(number, x.aval.shape, ()))
        return x

    def pull(w: Writer, eqn: Any, ct: Atom) -> dict[int, Atom]:
        (x,) = eqn.invars
        for number, beyond in bounds:
            ct = w.select(w.compare(beyond, x, number), ct, w.full(ct.aval.shape, 0, ct.aval.dtype))
        return {0: ct}

    low, high = [None if b is None else np.asarray(b, x.aval.dtype)[()] for b in (min, max)]
    return custom(w, [x], forward, pull, _clipped(low, high))


def _clipped(low: Any, high: Any) -> Callable[..., Any]:
    """The same of an array of NumPy's."""
    if low is None:
        return lambda x: np.minimum(x, high)
    if high is None:
        return lambda x: np.maximum(x, low)
    return lambda x: np.minimum(np.maximum(x, low), high)


def converted(w: Writer, x: Any, dtype: Any) -> Atom:
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    need(strong(x, "fib").aval.dtype != dtype and dtype.kind == "f")
    return w.convert(x, dtype)


def same(w: Writer, x: Any) -> Atom:
    return x


def written(w: Writer, x: Any, other: Any) -> Atom:
    """`other`, in the shape and dtype of x."""
    if not hasattr(other, "aval"):
        return w.broadcast(operands(w, x, other)[1], x.aval.shape, ())
    need(strong(other).aval.dtype == strong(x).aval.dtype and other.aval.shape == x.aval.shape)
    return other


OPERATORS: dict[str, Rule] = {  # of Python
    "add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": power,
    "lt": _compared(lax.lt_p), "le": _compared(lax.le_p), "gt": _compared(lax.gt_p), "ge": _compared(lax.ge_p),
    "eq": _compared(lax.eq_p), "ne": _compared(lax.ne_p),
}  # fmt: skip
RULES: dict[Any, Rule] = {
    jnp.negative: _one(lax.neg_p), jnp.exp: _fine(lax.exp_p), jnp.log: _fine(lax.log_p), jnp.tanh: _fine(lax.tanh_p),
    jnp.sqrt: _fine(lax.sqrt_p), jnp.sin: _fine(lax.sin_p), jnp.cos: _fine(lax.cos_p),
    jnp.log1p: _fine(lax.log1p_p), jnp.expm1: _fine(lax.expm1_p), jnp.square: _one(lax.square_p),
    jnp.sign: _one(lax.sign_p), jnp.floor: _one(lax.floor_p), jnp.ceil: _one(lax.ceil_p),
    jax.lax.rsqrt: _fine(lax.rsqrt_p), jax.nn.sigmoid: _fine(lax.logistic_p), jax.nn.relu: relu,
    jax.nn.softplus: softplus, jax.nn.log_sigmoid: log_sigmoid,
    jnp.add: add, jnp.subtract: subtract, jnp.multiply: multiply, jnp.divide: divide, jnp.true_divide: divide,
    jnp.maximum: larger, jnp.minimum: smaller, jnp.where: where,
    jnp.less: _compared(lax.lt_p), jnp.less_equal: _compared(lax.le_p), jnp.greater: _compared(lax.gt_p),
    jnp.greater_equal: _compared(lax.ge_p), jnp.equal: _compared(lax.eq_p), jnp.not_equal: _compared(lax.ne_p),
    jnp.astype: converted,
    jnp.zeros_like: lambda w, x: w.full(strong(x, "fi").aval.shape, 0, x.aval.dtype),
    jnp.ones_like: lambda w, x: w.full(strong(x, "fi").aval.shape, 1, x.aval.dtype),
}  # fmt: skip
