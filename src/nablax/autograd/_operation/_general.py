"""One trace for all shapes: an operation is traced with letters for sizes, and numbers are put in where it is used.

    traced   { a:f32[n,m]. b:f32[m] = reduce_sum[axes=(0,)] a; c:i32[] = dim_as_value[dim=n]; ... }
    16, 5    { a:f32[16,5]. b:f32[5] = reduce_sum[axes=(0,)] a; ... 16 ... }

Sizes 0 and 1 stay numbers, and equal sizes are one letter, so that broadcasting is decided as it would be. The first
shapes of a kind are traced as they are; the next with letters, and only if the numbers of the first shape give the
equations of the first is that trace used. For arithmetic tests know this, and nothing is compared. What cannot be
traced with letters is traced for each shape.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import export
from jax.extend.core import ClosedJaxpr

from .._ground._aval import X64, Aval
from .._ground._settings import now, under, x64_as
from ._numbers import LETTERS, Numbers
from ._same import equal

ALONE = 3  # shapes of a kind that are traced by themselves: letters cost as much as a few traces


class Traced(NamedTuple):
    """What a trace found.

    jaxpr: of arguments -> results, then gradients of the wanted arguments, for cotangents that are equations of it.
    tree: of the results.  given: results that carry gradients.  flat: whether it is known to call no functions.
    """

    jaxpr: ClosedJaxpr
    tree: Any
    given: tuple[int, ...]
    flat: bool = False


class General:
    """The traces of one function for avals of one kind.

    Args:
      known: whether letters are known to give what numbers do.
    """

    __slots__ = ("_alone", "_first", "_known", "_letters", "_usable")

    def __init__(self, known: bool) -> None:
        self._known = known
        self._alone = 0
        self._first: tuple[tuple[int, ...], Traced] | None = None
        self._letters: Traced | None = None
        self._usable = True

    def at(self, avals: Sequence[Aval], trace: Callable[[Sequence[Any]], Traced]) -> Traced:
        """The trace for given avals; `trace` makes one from structs of arguments."""
        sizes = sizes_of(avals)
        if self._first is not None and self._first[0] == sizes:
            return self._first[1]
        if self._letters is None and self._usable and sizes and self._alone >= ALONE:
            self._letters = self._with_letters(avals, trace)
            self._usable = self._letters is not None
        if self._letters is not None:
            return self._letters._replace(jaxpr=substituted(self._letters.jaxpr, sizes))
        self._alone += 1
        found = flattened(trace([a.struct for a in avals]))
        if self._first is None:
            self._first = sizes, found
        return found

    def _with_letters(self, avals: Sequence[Aval], trace: Callable[[Sequence[Any]], Traced]) -> Traced | None:
        found = _aside(lambda: trace(_lettered(avals)))
        if found is None or self._first is None or self._known:
            return found if found is not None and _closed(found.jaxpr.jaxpr) else None
        sizes, known = self._first
        same = found[1:3] == known[1:3] and equal(substituted(found.jaxpr, sizes), known.jaxpr)
        return found if same else None


def _aside(trace: Callable[[], Traced]) -> Traced | None:
    """A trace made in a thread of its own; None where JAX fails on what a size decides and letters leave open.

    Errors that JAX raises and catches within such a trace keep all frames below them until the garbage collector comes:
    in this thread those would be the user's, and hold tensors.
    """
    found: list[Traced] = []
    settings, x64 = now(), bool(X64.value)

    def run() -> None:
        with contextlib.suppress(Exception), under(settings), x64_as(x64):
            found.append(trace())

    thread = threading.Thread(target=run, name="nablax.autograd trace", daemon=True)
    thread.start()
    thread.join()
    return found[0] if found else None


def kind(avals: Sequence[Aval]) -> tuple:
    """What avals have in common that differ in sizes alone."""
    places: dict[int, int] = {}
    return tuple(
        [
            (
                tuple([n if n < 2 else -1 - places.setdefault(n, len(places)) for n in a.shape]),
                a.dtype,
                a.weak,
            )
            for a in avals
        ]
    )


def sizes_of(avals: Sequence[Aval]) -> tuple[int, ...]:
    """The sizes that have letters, in their order."""
    found = tuple(dict.fromkeys(n for a in avals for n in a.shape if n > 1))
    return found if len(found) <= len(LETTERS) else ()


@functools.cache
def _symbols() -> tuple[Any, ...]:
    return tuple(export.symbolic_shape(", ".join(LETTERS)))


def _lettered(avals: Sequence[Aval]) -> list[Any]:
    letters = dict(zip(sizes_of(avals), _symbols(), strict=False))
    return [
        jax.ShapeDtypeStruct(tuple([letters.get(n, n) for n in a.shape]), a.dtype, weak_type=a.weak)
        for a in avals
    ]


def substituted(closed: ClosedJaxpr, sizes: Sequence[int]) -> ClosedJaxpr:
    """A jaxpr with numbers for letters."""
    return ClosedJaxpr(Numbers(sizes).jaxpr(closed.jaxpr), closed.consts)


def flattened(traced: Traced) -> Traced:
    """A trace without calls of functions."""
    return traced if traced.flat else traced._replace(jaxpr=substituted(traced.jaxpr, ()), flat=True)


def _closed(jaxpr: Any) -> bool:
    """Whether a jaxpr says all that there is: rules of derivatives that are yet to be traced remember letters."""
    return not any(eqn.primitive.name.startswith("custom_") for eqn in jaxpr.eqns) and all(
        _closed(getattr(p, "jaxpr", p)) for eqn in jaxpr.eqns for p in eqn.params.values()
        if hasattr(p, "jaxpr") or hasattr(p, "eqns")
    )  # fmt: skip
