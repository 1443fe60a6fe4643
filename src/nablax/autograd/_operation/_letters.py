"""What sizes decide by a formula: written once with letters for sizes, and numbers are put in where it is used.

    written   { a:f32[p,q]. b:f32[p] = reduce_sum[axes=(1,)] a; c:f32[p] = div b q }
    16, 5     { a:f32[16,5]. b:f32[16] = reduce_sum[axes=(1,)] a; c:f32[16] = div b 5.0 }

The letters are large primes: what a rule makes of them says by its factors which sizes it is the product of. Sizes 0
and 1 stay numbers, and equal sizes are one letter (`_general.kind`). The first shapes of a kind are written as they
are; then letters are tried, and are used only if the numbers of the first shape give its equations, and only where
rules write all, forward and back: those decide nothing else by a size (`Writer.letters`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._ground._aval import Aval, intern
from .._ground._bounded import Bounded
from ._alike import pulled
from ._custom import CUSTOM
from ._general import Traced, sizes_of
from ._joint import Joint
from ._numpy import Kernel, Lowered, Pattern
from ._pullbacks import FLAT, PULLS
from ._same import equal
from ._sizes import LARGE, PRIMES, Sizes, Themselves, numbered
from ._written import write
from ._written._rule import Unwritten

ALONE = 2  # shapes of a kind that are written by themselves
MOST_PULLS = 32


def _same(letters: Any, first: Any, numbers: Sequence[int]) -> bool:
    return equal(Sizes(numbers).jaxpr(letters.traced.jaxpr), Themselves(()).jaxpr(first.traced.jaxpr))


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
        args = pulled(typed, joint, pull)

        def whole() -> Traced:
            return typed.spelled_out(wants)[1].traced

        return joint, _numbered(self._lettered, pull, args, self._sizes, whole)


def _numbered(
    lettered: Lettered, model: Any, args: tuple[Aval, ...], sizes: Sizes, whole: Callable[[], Traced]
) -> Any:
    outs = tuple([intern(sizes.shape(a.shape), a.dtype, a.weak) for a in model.avals])
    return model.sized(args, outs, Numbered(lettered, model, sizes, whole))
