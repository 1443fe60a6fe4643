"""Numbers in the place of letters, which are large primes: in shapes, parameters, literals and whole functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import Literal, Var

from ._writer import closed_of, shaped
from ._written._rule import Unwritten

PRIMES = (2003, 2503, 3001, 3511, 4001, 4507)
LARGE, MOST = 1000, 1e15  # between these a number may be a size
MOST_SIZES = 256


class About:
    """Shape and dtype; JAX's abstract value takes ten times as long to make."""

    __slots__ = ("dtype", "ndim", "shape", "size")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.ndim, self.size = len(shape), math.prod(shape)


class Sizes:
    """Puts numbers in the place of letters."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._letters = tuple(zip(PRIMES, numbers, strict=False))
        self._known = dict(self._letters)
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._avals: dict[tuple, Any] = {}
        self._about: dict[Any, About] = {}
        self._counts: dict[tuple[int, ...], int] = {}

    def size(self, n: int) -> int:
        """The number that a product of letters stands for.

        Raises:
          Unwritten: it is no such product.
        """
        if -LARGE < n < LARGE:
            return n
        found = self._known.get(n)
        if found is None:
            found, rest = 1, n
            for letter, number in self._letters:
                while rest % letter == 0:
                    found, rest = found * number, rest // letter
            if not -LARGE < rest < LARGE:
                raise Unwritten
            found = self._known[n] = found * rest
        return found

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        found = self._shapes.get(shape)
        if found is None:
            found = self._shapes[shape] = tuple(map(self.size, shape))
        return found

    def of(self, value: Any) -> Any:
        """A parameter with numbers."""
        kind = value.__class__
        if kind is int:
            return self.size(value)
        if isinstance(value, tuple):
            made = [self.of(v) for v in value]
            return kind(*made) if hasattr(value, "_fields") else tuple(made)
        return value.resized(self.shape) if hasattr(value, "resized") else value

    def literal(self, atom: Any) -> Any:
        """The value of a literal."""
        value = atom.val
        if np.ndim(value) or not LARGE <= abs(value) < MOST or value != int(value):
            return value
        return self.size(int(value))

    def aval(self, aval: Any) -> Any:
        key = aval.shape, aval.dtype, aval.weak_type
        found = self._avals.get(key)
        if found is None:
            found = self._avals[key] = shaped(self.shape(aval.shape), aval.dtype, bool(aval.weak_type))
        return found

    def about(self, aval: Any) -> About:
        """What rules of NumPy's functions ask of an aval."""
        found = self._about.get(aval)  # there is one for each shape and dtype
        if found is None:
            found = self._about[aval] = About(self.shape(aval.shape), aval.dtype)
        return found

    def count(self, shape: tuple[int, ...]) -> int:
        """How many elements an array of this shape has."""
        found = self._counts.get(shape)
        if found is None:
            found = self._counts[shape] = math.prod(self.shape(shape))
        return found

    def jaxpr(self, closed: Any) -> Any:
        """All of a function, but for the ways back of the functions that it calls."""
        atoms: dict[Any, Any] = {}

        def new(v: Any) -> Any:
            atoms[v] = Var(self.aval(v.aval))
            return atoms[v]

        def read(v: Any) -> Any:
            if v.__class__ is Literal:
                aval: Any = v.aval
                return Literal(np.asarray(self.literal(v), aval.dtype)[()], self.aval(aval))
            return atoms[v]

        invars = [new(v) for v in closed.jaxpr.invars]
        eqns: list[Any] = []
        for eqn in closed.jaxpr.eqns:
            params = {k: self.of(v) for k, v in eqn.params.items() if not callable(v)}
            if "call_jaxpr" in params:
                params["call_jaxpr"] = self.jaxpr(params["call_jaxpr"])
            ins = [read(v) for v in eqn.invars]
            eqns.append(eqn.replace(invars=ins, outvars=[new(v) for v in eqn.outvars], params=params))
        return closed_of(invars, [read(v) for v in closed.jaxpr.outvars], eqns)


@functools.lru_cache(MOST_SIZES)
def numbered(numbers: tuple[int, ...]) -> Sizes:
    """What puts in these numbers."""
    return Sizes(numbers)


class Themselves(Sizes):
    """Leaves numbers as they are."""

    def size(self, n: int) -> int:
        return n
