"""Numbers that stay open: what a compiled step reads from a vector, so that setting one compiles nothing.

A program is built with a `Number` in the place of each live argument. What Python computes from it (`1 - b1`,
`b1 / b2`) is a Number as well: an expression, whose value is computed in Python's own precision whenever an argument
changes, and which takes one slot of the vector where an array is needed. So the step has, to the last digit, the
numbers that a program with constants would have. What Python decides by it (`if b2 == 0`) is remembered as a guard:
values for which the decision falls otherwise have another program.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from nablax.core._source import FUNCTIONS, Source


def _is_plain(x: Any) -> bool:
    return isinstance(x, int | float | np.generic)


class Number:
    """A real number whose value is not fixed yet; see the head of this file. Arithmetic with arrays gives arrays."""

    __slots__ = ("decay", "expression", "source")
    __array_ufunc__ = None  # NumPy leaves the operators to us

    def __init__(self, source: Source, expression: Any, decay: bool = False):
        self.source, self.expression, self.decay = source, expression, decay

    @property
    def key(self) -> Any:
        """What equal numbers of one program have in common; hashable."""
        return self.source.token, self.expression

    def array(self) -> Any:
        """The number as a scalar array of the program that is being traced."""
        return self.source.array(self.expression)

    def __jax_array__(self) -> Any:
        return self.array()

    def decided(self) -> Any:
        """The value, on which the program depends from here on."""
        return self.source.decide(("value", self.expression))

    def complement(self) -> Number:
        """1 minus the number."""
        return self._with("sub", ("constant", 1), self.expression)

    def item(self, i: int) -> Number:
        """Entry i of an argument that is a tuple of numbers."""
        return Number(self.source, ("item", self.expression, i), self.decay)

    def _with(self, kind: str, *operands: Any) -> Number:
        return Number(self.source, (kind, *operands))

    def _decided(self, kind: str, *operands: Any) -> Any:
        return self.source.decide((kind, self.expression, *operands))

    def __bool__(self) -> bool:
        return self._decided("ne", ("constant", 0))

    def __float__(self) -> float:
        return self._decided("float")

    def __index__(self) -> int:
        return self._decided("int")

    def __int__(self) -> int:
        return int(float(self))

    def __round__(self, digits: int | None = None) -> Any:
        return self._decided("round", ("constant", digits))

    def __neg__(self) -> Number:
        return self._with("neg", self.expression)

    def __abs__(self) -> Number:
        return self._with("abs", self.expression)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Number({self.expression!r})"


def _operand(x: Any) -> Any:
    return x.expression if isinstance(x, Number) else ("constant", x)


def _add_arithmetic(kind: str, method: str) -> None:
    function = FUNCTIONS[kind]

    def forward(self: Number, other: Any) -> Any:
        if isinstance(other, Number) or _is_plain(other):
            return self._with(kind, self.expression, _operand(other))
        return function(self.array(), other)

    def backward(self: Number, other: Any) -> Any:
        if _is_plain(other):
            return self._with(kind, _operand(other), self.expression)
        return function(other, self.array())

    setattr(Number, f"__{method}__", forward)
    setattr(Number, f"__r{method}__", backward)


def _add_comparison(kind: str) -> None:
    function = FUNCTIONS[kind]

    def compare(self: Number, other: Any) -> Any:
        if isinstance(other, Number) or _is_plain(other):
            return self._decided(kind, _operand(other))
        if other is None or isinstance(other, str):
            return kind == "ne"
        return function(self.array(), other)

    setattr(Number, f"__{kind}__", compare)


for _kind, _method in (
    ("add", "add"), ("sub", "sub"), ("mul", "mul"), ("div", "truediv"), ("pow", "pow"), ("mod", "mod"),
    ("floordiv", "floordiv"),
):  # fmt: skip
    _add_arithmetic(_kind, _method)
for _kind in ("lt", "le", "gt", "ge", "eq", "ne"):
    _add_comparison(_kind)


def open_number(source: Source, name: str, decay: bool = False) -> Number:
    """The open number of a name; `decay` where 1 minus it matters as much as itself."""
    return Number(source, ("argument", name), decay)


def is_number(x: Any) -> bool:
    """Whether a value is a Python or NumPy number, no bool."""
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)


def as_array(x: Any) -> Any:
    """An open number as an array of the program that is being traced; everything else as it is."""
    return x.array() if isinstance(x, Number) else x


@jax.tree_util.register_pytree_node_class
class Decay:
    """The decay b of a moving average as an array, with 1 - b as exact as b: 1 - 0.999 in float32 is not 0.001."""

    __slots__ = ("rest", "value")
    __array_ufunc__ = None

    def __init__(self, value: Any, rest: Any):
        self.value, self.rest = value, rest

    def tree_flatten(self) -> tuple[tuple[Any, Any], None]:
        return (self.value, self.rest), None

    @classmethod
    def tree_unflatten(cls, _: None, arrays: tuple[Any, Any]) -> Decay:
        return cls(*arrays)

    def __mul__(self, other: Any) -> Any:
        return self.value * other

    def __rmul__(self, other: Any) -> Any:
        return other * self.value

    def __rsub__(self, other: Any) -> Any:
        return self.rest if isinstance(other, int | float) and other == 1 else other - self.value

    def __truediv__(self, other: Any) -> Any:
        return self.value / (other.value if isinstance(other, Decay) else other)

    def __pow__(self, other: Any) -> Any:
        return self.value**other


def with_complement(x: Any) -> Any:
    """A decay that is Python's number as a `Decay`: where it becomes an array, 1 minus it stays exact."""
    return Decay(x, 1 - x) if is_number(x) else x


def bound(x: Any) -> Any:
    """An open number, or a tuple of them, as arrays for a rule: a decay with its complement."""
    if isinstance(x, Number):
        return Decay(x.array(), x.complement().array()) if x.decay else x.array()
    return x


def plain(x: Any) -> Any:
    """The array of a `Decay`; everything else as it is."""
    return x.value if isinstance(x, Decay) else x
