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
import numpy as np
from jax import export
from jax.extend.core import ClosedJaxpr, Literal

from .._ground._aval import Aval, config
from .._ground._settings import now, under, x64_as

CALLED = ("jit", "pjit")
LETTERS = "abcdefghijklmnop"
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
        sizes = _sizes(avals)
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
    settings, x64 = now(), bool(config.jax_enable_x64)

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


def _sizes(avals: Sequence[Aval]) -> tuple[int, ...]:
    """The sizes that have letters, in their order."""
    found = tuple(dict.fromkeys(n for a in avals for n in a.shape if n > 1))
    return found if len(found) <= len(LETTERS) else ()


@functools.cache
def _symbols() -> tuple[Any, ...]:
    return tuple(export.symbolic_shape(", ".join(LETTERS)))


def _lettered(avals: Sequence[Aval]) -> list[Any]:
    letters = dict(zip(_sizes(avals), _symbols(), strict=False))
    return [
        jax.ShapeDtypeStruct(tuple([letters.get(n, n) for n in a.shape]), a.dtype, weak_type=a.weak)
        for a in avals
    ]


@functools.lru_cache(4096)
def _formula(text: str) -> Any:
    return compile(text.replace("^", "**"), "<size>", "eval")


_FUNCTIONS = {"floordiv": lambda a, b: a // b, "mod": lambda a, b: a % b, "max": max, "min": min}


class _Numbers:
    """Puts numbers in the place of letters."""

    def __init__(self, sizes: Sequence[int]):
        self._scope = {**_FUNCTIONS, **dict(zip(LETTERS, sizes, strict=False))}
        self._known: dict[Any, int] = {}
        self._avals: dict[int, Any] = {}

    def size(self, dim: Any) -> int:
        if isinstance(dim, int):
            return dim
        found = self._known.get(id(dim))  # which lives as long as the jaxpr does
        if found is None:
            found = eval(_formula(str(dim)), {"__builtins__": {}}, self._scope)
            self._known[id(dim)] = found = int(found)
        return found

    def of(self, value: Any) -> Any:
        """A parameter of an equation, with numbers."""
        if value is None or isinstance(value, bool | int | str | np.dtype | type):
            return value
        if isinstance(value, tuple):
            made = [self.of(v) for v in value]
            return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
        if isinstance(value, ClosedJaxpr):
            return ClosedJaxpr(self.jaxpr(value.jaxpr), value.consts)
        if hasattr(value, "eqns"):
            return self.jaxpr(value)
        if isinstance(value, jax.core.ShapedArray):
            return self.aval(value)
        if isinstance(value, list):
            return [self.of(v) for v in value]
        return self.size(value) if export.is_symbolic_dim(value) else value

    def aval(self, aval: Any) -> Any:
        found = self._avals.get(id(aval))
        if found is None:
            shape = getattr(aval, "shape", ())
            changed = any(not isinstance(n, int) for n in shape)
            found = aval.update(shape=tuple(map(self.size, shape))) if changed else aval
            self._avals[id(aval)] = found
        return found

    def jaxpr(self, jaxpr: Any) -> Any:
        """A jaxpr with numbers, and with the equations of functions that are called in the place of the calls."""
        atoms: dict[Any, Any] = {}
        invars, constvars = self._new(jaxpr.invars, atoms), self._new(jaxpr.constvars, atoms)
        eqns: list[Any] = []
        outvars = self._write(jaxpr, atoms, eqns)
        return jaxpr.replace(invars=invars, constvars=constvars, eqns=eqns, outvars=outvars)

    def _new(self, variables: Sequence[Any], atoms: dict[Any, Any]) -> list[Any]:
        made = [type(var)(self.aval(var.aval)) for var in variables]
        atoms.update(zip(variables, made, strict=True))
        return made

    def _write(self, jaxpr: Any, atoms: dict[Any, Any], eqns: list[Any]) -> list[Any]:
        """Write the equations of a jaxpr; the atoms of its results."""

        def read(atom: Any) -> Any:
            return atom if isinstance(atom, Literal) else atoms[atom]

        for eqn in jaxpr.eqns:
            name = eqn.primitive.name
            ins = [read(atom) for atom in eqn.invars]
            if name == "dim_as_value":
                aval = eqn.outvars[0].aval
                atoms[eqn.outvars[0]] = _literal(self.size(eqn.params["dim"]), aval)
            elif name == "convert_element_type" and isinstance(ins[0], Literal):
                atoms[eqn.outvars[0]] = _literal(ins[0].val, eqn.outvars[0].aval)
            elif name in CALLED and not eqn.params["jaxpr"].consts:
                inner = eqn.params["jaxpr"].jaxpr
                outs = self._write(inner, dict(zip(inner.invars, ins, strict=True)), eqns)
                atoms.update(zip(eqn.outvars, outs, strict=True))
            else:
                params = {k: self.of(v) for k, v in eqn.params.items()}
                eqns.append(eqn.replace(invars=ins, outvars=self._new(eqn.outvars, atoms), params=params))
        return [read(v) for v in jaxpr.outvars]


def _literal(value: Any, aval: Any) -> Any:
    return Literal(np.asarray(value, aval.dtype)[()], aval)


def substituted(closed: ClosedJaxpr, sizes: Sequence[int]) -> ClosedJaxpr:
    """A jaxpr with numbers for letters."""
    return ClosedJaxpr(_Numbers(sizes).jaxpr(closed.jaxpr), closed.consts)


def flattened(traced: Traced) -> Traced:
    """A trace without calls of functions."""
    return traced if traced.flat else traced._replace(jaxpr=substituted(traced.jaxpr, ()), flat=True)


def equal(a: ClosedJaxpr, b: ClosedJaxpr) -> bool:
    """Whether two jaxprs have the same equations."""
    if len(a.consts) != len(b.consts) or any(
        not _same_value(x, y) for x, y in zip(a.consts, b.consts, strict=True)
    ):
        return False
    return _equal(a.jaxpr, b.jaxpr)


def _equal(a: Any, b: Any) -> bool:
    pairs: dict[Any, Any] = {}

    def bound(xs: Sequence[Any], ys: Sequence[Any]) -> bool:
        if len(xs) != len(ys):
            return False
        for x, y in zip(xs, ys, strict=True):
            pairs[x] = y
            if not _same_kind(x.aval, y.aval):
                return False
        return True

    def same(xs: Sequence[Any], ys: Sequence[Any]) -> bool:
        return len(xs) == len(ys) and all(
            isinstance(y, Literal) and _same_kind(x.aval, y.aval) and _same_value(x.val, y.val)
            if isinstance(x, Literal)
            else pairs.get(x) is y
            for x, y in zip(xs, ys, strict=True)
        )

    if not bound(a.invars, b.invars) or not bound(a.constvars, b.constvars) or len(a.eqns) != len(b.eqns):
        return False
    for x, y in zip(a.eqns, b.eqns, strict=True):
        alike = x.primitive is y.primitive and same(x.invars, y.invars) and bound(x.outvars, y.outvars)
        if not alike or x.params.keys() != y.params.keys():
            return False
        if not all(_same_param(x.params[k], y.params[k]) for k in x.params):
            return False
    return same(a.outvars, b.outvars)


def _same_kind(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.weak_type == b.weak_type


def _same_value(a: Any, b: Any) -> bool:
    if a is b:
        return True
    x, y = np.asarray(a), np.asarray(b)
    return x.shape == y.shape and bool(np.all((x == y) | ((x != x) & (y != y))))


def _same_param(a: Any, b: Any) -> bool:
    if isinstance(a, ClosedJaxpr):
        return isinstance(b, ClosedJaxpr) and equal(a, b)
    if hasattr(a, "eqns"):
        return hasattr(b, "eqns") and _equal(a, b)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same_param, a, b))
    return a is b or bool(a == b) or (a != a and b != b)


def _closed(jaxpr: Any) -> bool:
    """Whether a jaxpr says all that there is: rules of derivatives that are yet to be traced remember letters."""
    return not any(eqn.primitive.name.startswith("custom_") for eqn in jaxpr.eqns) and all(
        _closed(getattr(p, "jaxpr", p)) for eqn in jaxpr.eqns for p in eqn.params.values()
        if hasattr(p, "jaxpr") or hasattr(p, "eqns")
    )  # fmt: skip
