"""Element by element."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special

from ..._operation._written import _elementwise as rules
from ..._operation._written import by
from .. import _kinks
from ._rows import Row, rows


def _sgn(input: Any) -> Any:
    return jnp.sign(input)


def _logit(input: Any, eps: Any = None) -> Any:
    x = input if eps is None else _kinks.clip(input, eps, 1 - eps)
    return jnp.log(x / (1 - x))


def _div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode == "floor":
        return jnp.floor_divide(input, other)
    found = jnp.true_divide(input, other)
    if rounding_mode is None:
        return found
    if rounding_mode != "trunc":
        raise ValueError(f"div: rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}.")
    return jnp.trunc(found).astype(jnp.result_type(input, other))


def scaled(other: Any, alpha: Any) -> Any:
    """alpha * other."""
    return other if alpha.__class__ is int and alpha == 1 else alpha * other


def wide(x: Any) -> Any:
    """64 bits, where x64 is enabled."""
    kind = complex if jnp.issubdtype(jnp.result_type(x), jnp.complexfloating) else float
    return jax.dtypes.canonicalize_dtype(kind)


def _masked_fill(input: Any, mask: Any, value: Any) -> Any:
    return jnp.where(mask, jnp.asarray(value).astype(input.dtype), input)


def _clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    if min is None and max is None:
        raise ValueError("clamp: one of min and max is needed.")
    return _kinks.clip(input, min, max)


UNARY: dict[str, Any] = {  # of one argument: the fast path of recording
    "abs absolute": _kinks.abs, "exp": jnp.exp, "exp2": jnp.exp2, "expm1": jnp.expm1, "log": jnp.log,
    "log1p": jnp.log1p, "log2": jnp.log2, "log10": jnp.log10, "sqrt": jnp.sqrt, "rsqrt": jax.lax.rsqrt,
    "square": jnp.square, "reciprocal": jnp.reciprocal, "sin": jnp.sin, "cos": jnp.cos, "tan": jnp.tan,
    "asin arcsin": jnp.asin, "acos arccos": jnp.acos, "atan arctan": jnp.atan, "sinh": jnp.sinh, "cosh": jnp.cosh,
    "tanh": jnp.tanh, "asinh arcsinh": jnp.asinh, "acosh arccosh": jnp.acosh, "atanh arctanh": jnp.atanh,
    "sinc": jnp.sinc, "deg2rad": jnp.deg2rad, "rad2deg": jnp.rad2deg, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu,
    "softplus": jax.nn.softplus, "sign": jnp.sign, "sgn": _sgn, "signbit": jnp.signbit, "floor": jnp.floor,
    "ceil": jnp.ceil, "trunc fix": jnp.trunc, "isnan": jnp.isnan, "isfinite": jnp.isfinite, "isinf": jnp.isinf,
    "isposinf": jnp.isposinf, "isneginf": jnp.isneginf, "isreal": jnp.isreal, "logical_not": jnp.logical_not,
    "bitwise_not": jnp.invert, "conj conjugate": jnp.conj, "angle": jnp.angle, "neg negative": jnp.negative,
    "positive": jnp.positive, "erf": special.erf, "erfc": special.erfc, "erfinv": special.erfinv,
    "lgamma": special.gammaln, "digamma": special.digamma, "i0": special.i0,
}  # fmt: skip

NOT_TORCHS = {"softplus", "conjugate"}  # methods here, not in torch

TABLE: dict[str, Row] = rows({
    "frac": lambda input: input - jnp.trunc(input),
    "logit": _logit,
    "nan_to_num": lambda input, nan=0.0, posinf=None, neginf=None: jnp.nan_to_num(
        input, nan=nan, posinf=posinf, neginf=neginf),
    "round": lambda input, decimals=0: jnp.round(input, decimals),
    "add": lambda input, other, *, alpha=1: jnp.add(input, scaled(other, alpha)),
    "sub subtract": lambda input, other, *, alpha=1: jnp.subtract(input, scaled(other, alpha)),
    "rsub": lambda input, other, *, alpha=1: jnp.subtract(other, scaled(input, alpha)),
    "mul multiply": lambda input, other: jnp.multiply(input, other),
    "div divide": _div,
    "true_divide": lambda input, other: jnp.true_divide(input, other),
    "floor_divide": lambda input, other: jnp.floor_divide(input, other),
    "remainder": lambda input, other: jnp.remainder(input, other),
    "fmod": lambda input, other: jnp.fmod(input, other),
    "pow": lambda input, exponent: _kinks.power(input, exponent),
    "float_power": lambda input, exponent: jnp.float_power(
        jnp.asarray(input, wide(input)), jnp.asarray(exponent, wide(exponent))),
    "eq": lambda input, other: jnp.equal(input, other),
    "ne not_equal": lambda input, other: jnp.not_equal(input, other),
    "lt less": lambda input, other: jnp.less(input, other),
    "le less_equal": lambda input, other: jnp.less_equal(input, other),
    "gt greater": lambda input, other: jnp.greater(input, other),
    "ge greater_equal": lambda input, other: jnp.greater_equal(input, other),
    "logical_and": lambda input, other: jnp.logical_and(input, other),
    "logical_or": lambda input, other: jnp.logical_or(input, other),
    "logical_xor": lambda input, other: jnp.logical_xor(input, other),
    "bitwise_and": lambda input, other: jnp.bitwise_and(input, other),
    "bitwise_or": lambda input, other: jnp.bitwise_or(input, other),
    "bitwise_xor": lambda input, other: jnp.bitwise_xor(input, other),
    "maximum": by(rules.larger, lambda input, other: jnp.maximum(input, other)),
    "minimum": by(rules.smaller, lambda input, other: jnp.minimum(input, other)),
    "fmax": lambda input, other: _kinks.fmax(input, other),
    "fmin": lambda input, other: _kinks.fmin(input, other),
    "atan2 arctan2": lambda input, other: _kinks.arctan2(input, other),
    "hypot": Row(lambda input, other: _kinks.hypot(input, other), differs="slope 0 at (0, 0), where torch has NaN"),
    "copysign": lambda input, other: _kinks.copysign(input, other),
    "heaviside": lambda input, values: jnp.heaviside(input, values),
    "logaddexp": lambda input, other: jnp.logaddexp(input, other),
    "logaddexp2": lambda input, other: jnp.logaddexp2(input, other),
    "xlogy": lambda input, other: special.xlogy(input, other),
    "nextafter": lambda input, other: jnp.nextafter(input, other),
    "gcd": lambda input, other: jnp.gcd(input, other),
    "lcm": lambda input, other: jnp.lcm(input, other),
    "lerp": lambda input, end, weight: input + weight * (end - input),
    "addcmul": lambda input, tensor1, tensor2, *, value=1: input + value * tensor1 * tensor2,
    "addcdiv": lambda input, tensor1, tensor2, *, value=1: input + value * tensor1 / tensor2,
    "clamp clip": Row(by(rules.clip, _clamp), numpy=_kinks.clip),
    "clamp_min": lambda input, min: _kinks.clip(input, min),
    "clamp_max": lambda input, max: _kinks.clip(input, None, max),
    "masked_fill": _masked_fill,
    "isclose": lambda input, other, rtol=1e-05, atol=1e-08, equal_nan=False: jnp.isclose(
        input, other, rtol, atol, equal_nan),
}, number=True)  # fmt: skip

TABLE["round"] = TABLE["round"]._replace(numpy=jnp.round, number=False)
