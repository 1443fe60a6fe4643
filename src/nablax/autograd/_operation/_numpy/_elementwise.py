"""Operations on each element. NumPy's functions where they agree with XLA's, corrected where they do not."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._calls import said
from ._shapes import same

Rule = Callable[..., Callable[..., Any] | None]

REAL: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "exp2": np.exp2, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "sqrt": np.sqrt, "cbrt": np.cbrt,
    "floor": np.floor, "ceil": np.ceil, "atan2": np.arctan2, "nextafter": np.nextafter, "max": np.maximum,
    "min": np.minimum, "is_finite": np.isfinite,
    "rsqrt": said(
        lambda x: np.reciprocal(np.sqrt(x)), "{over}({root}({0}))", True, over=np.reciprocal, root=np.sqrt
    ),
    "logistic": said(
        lambda x: np.reciprocal(1 + np.exp(-x)), "{over}(1 + {exp}(-{0}))", True, over=np.reciprocal, exp=np.exp
    ),
}  # fmt: skip
INTEGER_TOO = {"max", "min"}
ANY: dict[str, Callable[..., Any]] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "abs": np.abs,
    "square": np.square, "eq": np.equal, "ne": np.not_equal, "real": np.real, "imag": np.imag,
}  # fmt: skip
ORDERED: dict[str, Callable[..., Any]] = {
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
# Of floats: the same, and of scalars ten times as quick.
FLOATING: dict[str, Callable[..., Any]] = {
    "add": operator.add, "add_any": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg,
    "div": operator.truediv, "abs": operator.abs, "eq": operator.eq, "ne": operator.ne,
}  # fmt: skip
BITS: dict[str, Callable[..., Any]] = {
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
}  # fmt: skip


def _kind(aval: Any) -> str:
    return aval.dtype.kind


def _real(name: str) -> Rule:
    kinds = "fiu" if name in INTEGER_TOO else "f"

    def rule(ins: list[Any], outs: list[Any], **params: Any) -> Callable[..., Any] | None:
        if params.get("accuracy") is not None or _kind(ins[0]) not in kinds:
            return None
        return REAL[name]

    return rule


def _plain(function: Callable[..., Any], kinds: str) -> Rule:
    return lambda ins, outs, **params: function if _kind(ins[0]) in kinds else None


def _div(ins: list[Any], outs: list[Any]) -> Callable[..., Any]:
    if _kind(ins[0]) in "fc":
        return np.divide
    dtype = outs[0].dtype
    least = np.iinfo(dtype).min

    def div(a: Any, b: Any) -> Any:  # towards zero; by zero: all bits set; the least by -1: itself
        by = np.where(b == 0, dtype.type(1), b)
        if least:
            by = np.where((a == least) & (b == dtype.type(-1)), dtype.type(1), by)
        q = a // by
        q = q + ((q * by != a) & ((a < 0) != (by < 0)))
        return np.where(b == 0, np.invert(dtype.type(0)), q).astype(dtype)

    return div


def _rem(ins: list[Any], outs: list[Any]) -> Callable[..., Any]:
    if _kind(ins[0]) == "f":
        return np.fmod
    dtype = outs[0].dtype

    def rem(a: Any, b: Any) -> Any:
        by = np.where((b == 0) | (b == dtype.type(-1 if dtype.kind == "i" else 1)), dtype.type(1), b)
        return np.where(b == 0, a, np.fmod(a, by)).astype(dtype)

    return rem


def _sign(ins: list[Any], outs: list[Any]) -> Callable[..., Any] | None:
    if _kind(ins[0]) == "f":
        return lambda x: np.copysign(np.sign(x), x)
    return np.sign if _kind(ins[0]) in "iu" else None


def _round(ins: list[Any], outs: list[Any], rounding_method: Any) -> Callable[..., Any]:
    if rounding_method == jax.lax.RoundingMethod.TO_NEAREST_EVEN:
        return np.rint

    def away(x: Any) -> Any:
        whole = np.trunc(x)
        return whole + np.copysign(np.abs(x - whole) >= 0.5, x).astype(x.dtype)

    return away


def _pow(ins: list[Any], outs: list[Any]) -> Callable[..., Any] | None:
    if _kind(ins[0]) != "f" or _kind(ins[1]) not in "fiu":
        return None
    dtype = ins[0].dtype
    return np.power if ins[1].dtype == dtype else lambda x, y: np.power(x, y.astype(dtype))


def _integer_pow(ins: list[Any], outs: list[Any], y: int) -> Callable[..., Any] | None:
    if _kind(ins[0]) != "f" and (y < 0 or _kind(ins[0]) == "b"):
        return None
    known: dict[int, Callable[..., Any]] = {
        2: np.square,
        3: said(lambda x: x * x * x, "{0} * {0} * {0}", True),
        -1: np.reciprocal,
        -2: lambda x: np.reciprocal(x * x),
    }
    return known.get(y, lambda x: np.power(x, y))


def _shift(how: str) -> Rule:
    def rule(ins: list[Any], outs: list[Any]) -> Callable[..., Any] | None:
        dtype = ins[0].dtype
        if dtype.kind not in "iu":
            return None
        bits = 8 * dtype.itemsize
        unsigned = np.dtype(f"u{dtype.itemsize}")

        def shifted(x: Any, by: Any) -> Any:  # beyond the width: nothing is left, or only the sign
            by = np.asarray(by).view(unsigned)
            inside = np.minimum(by, unsigned.type(bits - 1)).view(dtype)
            if how == "arithmetic":
                return np.right_shift(x, inside)
            if how == "left":
                return np.where(by < bits, np.left_shift(x, inside), dtype.type(0))
            found = np.right_shift(np.asarray(x).view(unsigned), inside.view(unsigned)).view(dtype)
            return np.where(by < bits, found, dtype.type(0))

        return shifted

    return rule


def _clamp(ins: list[Any], outs: list[Any]) -> Callable[..., Any] | None:
    if _kind(ins[1]) not in "fiu":
        return None
    return said(
        lambda low, x, high: np.minimum(np.maximum(x, low), high),
        "{least}({most}({1}, {0}), {2})", True, least=np.minimum, most=np.maximum,
    )  # fmt: skip


WORDS = {4: np.dtype("int32"), 8: np.dtype("int64")}  # as wide as an element
LONG = 2048  # elements from which on bits are quicker than branches


def by_bits(dtype: Any) -> Callable[[Any, Any, Any], Any] | None:
    """The choice (mask, no, yes) without branches."""
    word = WORDS.get(dtype.itemsize)
    if word is None:
        return None

    def choose(which: Any, no: Any, yes: Any) -> Any:
        mask = np.negative(which.astype(word))  # all bits, or none
        no, yes = no.view(word), yes.view(word)
        return (no ^ ((no ^ yes) & mask)).view(dtype)

    return choose


def _select(ins: list[Any], outs: list[Any]) -> Callable[..., Any] | None:
    if len(ins) != 3 or _kind(ins[0]) != "b":
        return None
    out = outs[0]
    choose = by_bits(out.dtype)
    if choose is None or out.size < LONG or any(a.shape != out.shape for a in ins):
        where = np.where
        return said(lambda which, no, yes: where(which, yes, no), "{where}({0}, {2}, {1})", True, where=where)
    return choose


def or_zero(dtype: Any, yes: bool) -> Callable[[Any, Any], Any] | None:
    """Of a mask and values: the values where the mask is `yes`, zero elsewhere; by a product of words with 0 and 1,
    for zero times an infinity is no number."""
    word = WORDS.get(dtype.itemsize)
    if word is None or dtype.kind != "f":
        return None
    if yes:
        return said(
            lambda which, x: (x.view(word) * which).view(dtype),
            "({1}.view({word}) * {0}).view({dtype})", True, word=word, dtype=dtype,
        )  # fmt: skip
    return lambda which, x: (x.view(word) * np.logical_not(which)).view(dtype)


def _convert(ins: list[Any], outs: list[Any], new_dtype: Any, **_: Any) -> Callable[..., Any] | None:
    before, after = ins[0].dtype, np.dtype(new_dtype)
    if before == after:
        return same
    if before.kind == "f" and after.kind in "iu":
        if after.itemsize > 4:
            return None
        info = np.iinfo(after)

        def saturated(x: Any) -> Any:
            x = np.asarray(x, np.float64)
            return np.clip(np.where(np.isnan(x), 0, x), info.min, info.max).astype(after)

        return saturated
    if before.kind == "c" and after.kind != "c":
        return None
    return said(lambda x: x.astype(after), "{0}.astype({after})", True, after=after)


def _conj(ins: list[Any], outs: list[Any], input_dtype: Any) -> Callable[..., Any]:
    dtype = outs[0].dtype
    return lambda x: np.conj(x).astype(dtype, copy=False)


def _complex(ins: list[Any], outs: list[Any]) -> Callable[..., Any]:
    shape, dtype = outs[0].shape, outs[0].dtype

    def joined(real: Any, imag: Any) -> Any:
        made = np.empty(shape, dtype)
        made.real, made.imag = real, imag
        return made

    return joined


def _square(ins: list[Any], outs: list[Any]) -> Callable[..., Any] | None:
    return (lambda x: np.square(x)) if _kind(ins[0]) in "ciu" else None  # floats are quick


RULES: dict[str, Rule] = {
    **{name: _real(name) for name in REAL},
    **{name: _plain(function, "fciu") for name, function in ANY.items()},
    "square": _square,
    **{name: _plain(function, "fciub") for name, function in ANY.items() if name in ("eq", "ne")},
    **{name: _plain(function, "fiub") for name, function in ORDERED.items()},
    **{name: _plain(function, "iub") for name, function in BITS.items()},
    "div": _div, "rem": _rem, "sign": _sign, "round": _round, "pow": _pow, "integer_pow": _integer_pow,
    "clamp": _clamp, "select_n": _select, "convert_element_type": _convert, "conj": _conj, "complex": _complex,
    "shift_left": _shift("left"), "shift_right_logical": _shift("logical"),
    "shift_right_arithmetic": _shift("arithmetic"),
}  # fmt: skip

# Of these an argument may be smaller than the result if another has the result's shape.
STRETCHING = {
    *ANY, *ORDERED, "div", "rem", "max", "min", "atan2", "pow", "and", "or", "xor", "nextafter", "select_n",
}  # fmt: skip
# Of floats, whatever their size: nothing more needs to be known.
QUICK: dict[str, Callable[..., Any]] = {**REAL, **ANY, **ORDERED, **FLOATING}
