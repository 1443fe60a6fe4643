"""Numbers that stay open: what a compiled step reads from a vector, so that setting one compiles nothing.

A program is built with a `Number` in the place of each live argument. What Python computes from it (`1 - b1`,
`b1 / b2`) is a Number as well: an expression, whose value is computed in Python's own precision whenever an argument
changes, and which takes one slot of the vector where an array is needed. So the step has, to the last digit, the
numbers that a program with constants would have. What Python decides by it (`if b2 == 0`) is remembered as a guard:
values for which the decision falls otherwise have another program.
"""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow,
    "floordiv": operator.floordiv, "mod": operator.mod, "neg": operator.neg, "abs": abs,
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
    "float": float, "int": operator.index, "round": round,
}  # fmt: skip

_EXACT = 2**24  # whole numbers up to here are exact in float32


class Unfilled(Exception):
    """A program asks for a number that its vector does not hold yet: it has to be called with one to fill in."""


class Source:
    """Where the numbers of one program come from.

    Args:
      capacity: slots of the vector; expressions beyond them are compiled in, with a guard.
      token: what numbers of one name are told apart by; None is this source.
    """

    def __init__(self, capacity: int = 64, token: Any = None):
        self.capacity = capacity
        self.token = id(self) if token is None else token
        self._slots: dict[Any, int] = {}
        self._guards: dict[Any, Any] = {}
        self._now = threading.local()
        self._lock = threading.Lock()

    def number(self, name: str, decay: bool = False) -> Number:
        """The live number of a name; `decay` where 1 minus it matters as much as itself."""
        return Number(self, ("argument", name), decay)

    @property
    def version(self) -> int:
        """Grows when the program has been found to read or decide something more."""
        return len(self._slots) + len(self._guards)

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether every decision falls as it did when the program was built."""
        try:
            return all(
                _evaluate(expression, values) == outcome for expression, outcome in list(self._guards.items())
            )
        except (ArithmeticError, KeyError, TypeError):
            return False

    def vector(self, values: Mapping[str, Any]) -> np.ndarray:
        """The slots' values, in JAX's default float."""
        out = np.zeros(self.capacity, jnp.result_type(float))
        for expression, slot in list(self._slots.items()):
            out[slot] = _evaluate(expression, values)
        return out

    def building(self, values: Mapping[str, Any], buffer: np.ndarray | None) -> Any:
        """A context in which the program may be traced: with these values, and a vector to fill in.

        Without a vector, `array` raises `Unfilled` where the program asks for something new.
        """
        return _Setting(self._now, "values", (values, buffer))

    def expecting(self, values: Mapping[str, Any]) -> None:
        """From here on this thread traces the program with these values, if at all, and without a vector to fill in."""
        self._now.values = (values, None)

    def reading(self, vector: Any) -> Any:
        """A context in which numbers become arrays, out of this (traced) vector."""
        return _Setting(self._now, "vector", vector)

    def evaluate(self, expression: Any) -> Any:
        """The value now."""
        return _evaluate(expression, self._now.values[0])

    def decide(self, expression: Any) -> Any:
        """The value now, on which the program depends from here on."""
        with self._lock:
            return self._guards.setdefault(expression, self.evaluate(expression))

    def array(self, expression: Any) -> Any:
        """The value as a scalar array of the program."""
        value = self.evaluate(expression)
        whole = isinstance(value, int)
        if (whole and abs(value) > _EXACT) or (expression not in self._slots and self._full()):
            return jnp.asarray(self.decide(expression))
        buffer = self._now.values[1]
        if buffer is None and expression not in self._slots:
            raise Unfilled(str(expression))
        with self._lock:
            slot = self._slots.setdefault(expression, len(self._slots))
        if buffer is not None:
            buffer[slot] = value
        x = self._now.vector[slot]
        return x.astype(jnp.int32) if whole else x

    def _full(self) -> bool:
        return len(self._slots) >= self.capacity


class _Setting:
    """Sets an attribute of a thread's own namespace for a while."""

    def __init__(self, where: threading.local, name: str, value: Any):
        self._where, self._name, self._value = where, name, value

    def __enter__(self) -> None:
        self._before = getattr(self._where, self._name, None)
        setattr(self._where, self._name, self._value)

    def __exit__(self, *error: Any) -> None:
        setattr(self._where, self._name, self._before)


def _evaluate(expression: Any, values: Mapping[str, Any]) -> Any:
    kind, *operands = expression
    if kind == "argument":
        return values[operands[0]]
    if kind == "constant":
        return operands[0]
    if kind == "item":
        return _evaluate(operands[0], values)[operands[1]]
    if kind == "value":
        return _evaluate(operands[0], values)
    return _FUNCTIONS[kind](*(_evaluate(x, values) for x in operands))


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
    function = _FUNCTIONS[kind]

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
    function = _FUNCTIONS[kind]

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


def is_number(x: Any) -> bool:
    """Whether a value is a Python or NumPy number, no bool."""
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)


def is_finite(x: Any) -> bool:
    """Whether a plain number is finite; open ones count as finite."""
    return isinstance(x, Number) or math.isfinite(x)


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


def bound(x: Any) -> Any:
    """An open number, or a tuple of them, as arrays for a rule: a decay with its complement."""
    if isinstance(x, Number):
        return Decay(x.array(), (1 - x).array()) if x.decay else x.array()
    return x


def plain(x: Any) -> Any:
    """The array of a `Decay`; everything else as it is."""
    return x.value if isinstance(x, Decay) else x
