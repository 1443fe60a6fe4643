"""Calls: an operation together with its static arguments, as a function of arrays, and what is known about it.

A call is made once for each (operation, static arguments) and shared by all recordings and threads. It keeps the
results of abstract evaluation (0.3 to 0.7 ms each, so worth keeping) and the compiled programs of the first tier, which
runs operation by operation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

import jax

from ._aval import Aval, intern
from ._errors import ShapeError, user_line
from ._stats import stats

_CALLS: dict[Hashable, Call] = {}
_LOCK = threading.Lock()
_LEAF = jax.tree.structure(0)


class Inferred:
    """What abstract evaluation tells about a call on given avals: results, the work in it, and the results' structure
    (None for a single array)."""

    __slots__ = ("avals", "tree", "weight")

    def __init__(self, avals: tuple[Aval, ...], tree: Any, weight: int) -> None:
        self.avals = avals
        self.tree = tree
        self.weight = weight


class Call:
    """A function of arrays: `fn(*arrays)` gives an array or a pytree of arrays.

    Compared by identity: `intern_call` makes one for each specification.
    """

    __slots__ = ("_inferred", "_jit", "_pulls", "_ready", "fn", "may_fail", "name")

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self.name = name
        self.fn = fn
        self.may_fail = False  # whether it calls back into Python, where anything may be raised
        self._inferred: dict[tuple, Inferred] = {}
        self._jit: Callable[..., Any] | None = None
        self._pulls: dict[tuple, Callable[..., Any]] = {}
        self._ready: set[tuple] = set()

    def __repr__(self) -> str:
        return self.name

    def flat(self, *args: Any) -> list[Any]:
        """The results as a flat list."""
        return jax.tree.leaves(self.fn(*args))

    def infer(self, avals: tuple[Aval, ...], x64: bool) -> Inferred:
        """Shapes and dtypes of the results; raises ShapeError, with the user's line, where there are none."""
        found = self._inferred.get((avals, x64))
        if found is None:
            found = self._inferred[avals, x64] = self._infer(avals)
        return found

    def _infer(self, avals: tuple[Aval, ...]) -> Inferred:
        stats.inferences += 1
        try:
            jaxpr, shapes = jax.make_jaxpr(self.fn, return_shape=True)(*(a.struct for a in avals))
        except (TypeError, ValueError) as error:
            if isinstance(error, jax.errors.JAXTypeError):  # about tracing, not about shapes: keep its class
                error.add_note(f"while recording {self.name} at {user_line()}")
                raise
            given = ", ".join(map(repr, avals))
            raise ShapeError(f"{self.name}({given}) at {user_line()}: {_first_lines(error)}") from None
        tree: Any = jax.tree.structure(shapes)
        if tree == _LEAF:
            tree = None
        outs = tuple(
            intern(a.shape, a.dtype, a.weak_type if hasattr(a, "weak_type") else False)
            for a in jaxpr.out_avals
        )
        names = _primitives(jaxpr.jaxpr)
        self.may_fail |= any("callback" in name for name in names)
        return Inferred(outs, tree, max(1, len(names) // 2))

    def run(self, args: list[Any], avals: tuple) -> list[Any]:
        """The results, by this call's own compiled program."""
        if self._jit is None:
            self._jit = jax.jit(self.flat)
        if (avals, None) not in self._ready:
            self._ready.add((avals, None))
            stats.operations += 1
        return self._jit(*args)

    def pull(
        self, args: list[Any], avals: tuple, cotangents: dict[int, Any], wants: tuple[int, ...]
    ) -> list[Any]:
        """Cotangents of the arguments `wants`, given those of some of the results, by a compiled program of its own."""
        given = tuple(cotangents)
        program = self._pulls.get((given, wants))
        if program is None:
            program = self._pulls[given, wants] = jax.jit(
                lambda args, cts: self._pull(args, given, cts, wants)
            )
        if (avals, given, wants) not in self._ready:
            self._ready.add((avals, given, wants))
            stats.operations += 1
        return program(args, list(cotangents.values()))

    def _pull(
        self, args: list[Any], given: tuple[int, ...], cotangents: list[Any], wants: tuple[int, ...]
    ) -> list[Any]:
        def of(wanted: list[Any]) -> list[Any]:
            full = list(args)
            for i, value in zip(wants, wanted, strict=True):
                full[i] = value
            results = self.flat(*full)
            return [results[k] for k in given]

        return jax.vjp(of, [args[i] for i in wants])[1](cotangents)[0]

    def missing(self, avals: tuple, pull: tuple | None = None) -> bool:
        """Whether the program for these avals is still to be compiled."""
        return ((avals, None) if pull is None else (avals, *pull)) not in self._ready


def intern_call(spec: Hashable, build: Callable[[], tuple[str, Callable[..., Any]]]) -> Call:
    """The one call of a specification; `build` gives its name and function when it is new."""
    found = _CALLS.get(spec)
    if found is None:
        with _LOCK:
            found = _CALLS.get(spec)
            if found is None:
                found = _CALLS[spec] = Call(*build())
    return found


def clear_calls() -> None:
    """Forget all calls, and with them their compiled programs."""
    _CALLS.clear()


def _primitives(jaxpr: Any) -> list[str]:
    """Names of the elementary operations in a jaxpr, those of inner jaxprs included."""
    found: list[str] = []
    for equation in jaxpr.eqns:
        inner = [
            getattr(p, "jaxpr", p)
            for p in equation.params.values()
            if hasattr(p, "jaxpr") or hasattr(p, "eqns")
        ]
        for each in inner:
            found += _primitives(each)
        if not inner:
            found.append(equation.primitive.name)
    return found


def _first_lines(error: BaseException) -> str:
    text = str(error).strip()
    return text.split("\n\n")[0] if text else type(error).__name__
