"""Where open numbers come from: a vector that a compiled step reads, and the decisions that Python made by them.

A number is an expression of named arguments: `("sub", ("constant", 1), ("argument", "adam/b1"))`. Its value is computed
in Python's precision; where an array is asked for it takes a slot of the vector; what Python decides by it is a guard.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow,
    "floordiv": operator.floordiv, "mod": operator.mod, "neg": operator.neg, "abs": abs,
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
    "float": float, "int": operator.index, "round": round,
}  # fmt: skip

_EXACT = 2**24  # whole numbers up to here are exact in float32


class Unfilled(Exception):
    """A program is traced where no vector is there to be filled in: it has to be called with one."""


class Source:
    """Where the numbers of one program come from.

    Args:
      capacity: slots of the vector; expressions beyond them are compiled in, with a guard.
      token: what numbers of one name are told apart by; None is this source.

    Attributes:
      version: grows when the program has been found to read or decide something more.
    """

    def __init__(self, capacity: int = 64, token: Any = None):
        self.capacity = capacity
        self.token = id(self) if token is None else token
        self._slots: dict[Any, int] = {}
        self._guards: dict[Any, Any] = {}
        self._now = threading.local()
        self._lock = threading.Lock()
        self.version = 0

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
        """A context in which the program may be traced: with these values, and a vector to fill in."""
        return _Setting(self._now, "values", (values, buffer))

    def reading(self, vector: Any) -> Any:
        """A context in which numbers become arrays, out of this (traced) vector.

        Raises:
          Unfilled: no program is being built: JAX traces again what was built for other shapes.
        """
        if getattr(self._now, "values", None) is None:
            raise Unfilled
        return _Setting(self._now, "vector", vector)

    def evaluate(self, expression: Any) -> Any:
        """The value now."""
        return _evaluate(expression, self._now.values[0])

    def decide(self, expression: Any) -> Any:
        """The value now, on which the program depends from here on."""
        with self._lock:
            outcome = self._guards.setdefault(expression, self.evaluate(expression))
            self.version = len(self._slots) + len(self._guards)
        return outcome

    def array(self, expression: Any) -> Any:
        """The value as a scalar array of the program."""
        value = self.evaluate(expression)
        whole = isinstance(value, int)
        if (whole and abs(value) > _EXACT) or (expression not in self._slots and self._full()):
            return jnp.asarray(self.decide(expression))
        buffer = self._now.values[1]
        with self._lock:
            slot = self._slots.setdefault(expression, len(self._slots))
            self.version = len(self._slots) + len(self._guards)
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
    return FUNCTIONS[kind](*(_evaluate(x, values) for x in operands))
