"""What sizes decide by a formula: written once with letters for sizes, and numbers are put in where it is used.

    written   { a:f32[p,q]. b:f32[p] = reduce_sum[axes=(1,)] a; c:f32[p] = div b q }
    16, 5     { a:f32[16,5]. b:f32[16] = reduce_sum[axes=(1,)] a; c:f32[16] = div b 5.0 }

The letters are large primes: what a rule makes of them says by its factors which sizes it is the product of. Sizes 0
and 1 stay numbers, and equal sizes are one letter (`_general.kind`). The first shapes of a kind are written as they
are; then letters are tried, and are used only if the numbers of the first shape give its equations, and only where
rules write all, forward and back: those decide nothing else by a size (`Writer.letters`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import Literal, Var

from .._ground._aval import Aval, intern
from .._ground._bounded import Bounded
from ._custom import CUSTOM
from ._general import Traced, sizes_of
from ._joint import Joint
from ._numpy import Kernel, Lowered, Pattern
from ._pullbacks import FLAT, PULLS
from ._same import equal
from ._writer import closed_of, shaped
from ._written import write
from ._written._rule import Unwritten

PRIMES = (2003, 2503, 3001, 3511, 4001, 4507)
LARGE, MOST = 1000, 1e15  # between these a number may be a size
ALONE = 2  # shapes of a kind that are written by themselves
MOST_PULLS, MOST_SIZES = 32, 256


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
        self._about: dict[tuple, About] = {}

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
        key = aval.shape, aval.dtype
        found = self._about.get(key)
        if found is None:
            found = self._about[key] = About(self.shape(aval.shape), aval.dtype)
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


class _Themselves(Sizes):
    """Leaves numbers as they are."""

    def size(self, n: int) -> int:
        return n


def _same(letters: Any, first: Any, numbers: Sequence[int]) -> bool:
    return equal(Sizes(numbers).jaxpr(letters.traced.jaxpr), _Themselves(()).jaxpr(first.traced.jaxpr))


def _plain(jaxpr: Any) -> bool:
    """Whether the way back through all equations is written."""
    for eqn in jaxpr.eqns:
        if eqn.primitive is CUSTOM:
            if eqn.params["pull"] is None:
                return False
        elif eqn.primitive.name not in PULLS and eqn.primitive.name not in FLAT:
            return False
    return not jaxpr.constvars


class Lettered:
    """One call, or one family of calls (`_written.Sized`), on arguments of one kind.

    Args:
      first: the call on the first of these (a `Typed`).
    """

    __slots__ = ("_first", "_model", "_numbers", "_patterns", "_pulls", "_seen", "_usable")

    def __init__(self, first: Any) -> None:
        self._first = first
        self._numbers = sizes_of((*first.args, *first.call.extra))
        self._model: Any = None
        self._pulls: Bounded = Bounded(MOST_PULLS)
        self._patterns: Bounded = Bounded(MOST_PULLS)
        self._seen = 1
        self._usable = True

    def at(self, call: Any, avals: tuple[Aval, ...]) -> Any:
        """The call, or one of its family, on arguments of this kind (a `Typed`); None where it is to be found out as
        ever."""
        if self._model is None:
            if not self._usable or self._seen < ALONE:
                self._seen += 1
                return None
            self._model = self._write()
            self._usable = self._model is not None
            if not self._usable:
                return None
        sizes, x64 = numbered(sizes_of((*avals, *call.extra))), self._first.x64
        made = _numbered(self, self._model, avals, sizes, lambda: call.traced(avals, (), x64))
        made.call = call
        return made

    def _write(self) -> Any:
        first = self._first
        numbers = self._numbers
        if not 0 < len(numbers) <= len(PRIMES) or not set(numbers).isdisjoint(PRIMES):
            return None
        letters = dict(zip(numbers, PRIMES, strict=False))
        avals = tuple(
            [intern(tuple([letters.get(n, n) for n in a.shape]), a.dtype, a.weak) for a in first.args]
        )
        try:
            written = write(first.call.rule_with(letters), avals, True)
            if written is None or not _plain(written.jaxpr):
                return None
            model = first.anew(avals).of(Traced(written, first.traced.tree, ()))
            return model if _same(model, first, numbers) else None
        except Unwritten:
            return None

    def pull(self, wants: tuple[int, ...]) -> tuple[Joint, Any] | None:
        """Joint and pullback with letters; None where it is to be found out as ever."""
        if wants not in self._pulls:
            joint, pull = self._model.joint(wants, False)
            mine, known = self._first.joint(wants, False)
            try:
                same = not joint.extra and joint[4:] == mine[4:] and _same(pull, known, self._numbers)
            except Unwritten:
                same = False
            self._pulls[wants] = (joint, pull) if same else None
        return self._pulls.get(wants)

    def pattern(self, model: Any) -> Pattern:
        """The calls of the function, or of a pullback of it."""
        found = self._patterns.get(model)
        if found is None:
            found = self._patterns[model] = Pattern(model.traced.jaxpr, LARGE)
        return found


class Numbered:
    """Says what is asked of a `Typed` that was written with letters (see there).

    Args:
      lettered: with what letters.  model: the `Typed` that has them.  sizes: puts in the numbers.
      whole: makes the trace.
    """

    __slots__ = ("_lettered", "_model", "_sizes", "traced")

    def __init__(self, lettered: Lettered, model: Any, sizes: Sizes, whole: Callable[[], Traced]) -> None:
        self._lettered, self._model, self._sizes, self.traced = lettered, model, sizes, whole

    def kernel(self) -> Kernel:
        found = self._lettered.pattern(self._model).at(self._sizes)
        return Lowered(self.traced().jaxpr) if found is None else found

    def joint(self, typed: Any, wants: tuple[int, ...], again: bool) -> tuple[Joint, Any] | None:
        found = None if again else self._lettered.pull(wants)
        if found is None:
            return None
        joint, pull = found
        known = (*typed.args, *typed.avals)
        shapes = [*[known[r].shape for r in joint.reads], *[typed.avals[k].shape for k in joint.given]]
        args = tuple([intern(s, a.dtype, a.weak) for a, s in zip(pull.args, shapes, strict=True)])

        def whole() -> Traced:
            return typed.spelled_out(wants)[1].traced

        return joint, _numbered(self._lettered, pull, args, self._sizes, whole)


def _numbered(
    lettered: Lettered, model: Any, args: tuple[Aval, ...], sizes: Sizes, whole: Callable[[], Traced]
) -> Any:
    outs = tuple([intern(sizes.shape(a.shape), a.dtype, a.weak) for a in model.avals])
    return model.sized(args, outs, Numbered(lettered, model, sizes, whole))
