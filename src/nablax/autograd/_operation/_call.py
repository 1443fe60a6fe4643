"""Calls: an operation together with its static arguments, as a function of arrays, and what is known about it.

A call is made once for each (operation, static arguments) and shared by all recordings and threads. On given avals it
is `Typed`: traced once, with its pullback where a gradient is carried, and kept with the first tier's kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxpr_as_fun

from .._ground._aval import Aval, intern
from .._ground._bounded import Bounded
from .._ground._errors import ShapeError, raised_in, user_line
from .._ground._quiet import quietly
from .._ground._settings import in_x64, now
from .._ground._stats import stats
from ._alike import kind_of
from ._general import General, Traced, flattened, kind
from ._joint import Joint, split, trace, unjitted
from ._kernel import on_host
from ._letters import Lettered
from ._reverse import Left, joint_of, reversed_of
from ._typed import LEAF
from ._typed import Typed as Typed
from ._written import Sized, rule_of, write

MOST_CALLS, MOST_SHAPES, MOST_KINDS = 4096, 512, 64
FIXED, CHECKED, ALIKE = range(3)
_CALLS: Bounded = Bounded(MOST_CALLS)
_FAMILIES: Bounded = Bounded(MOST_CALLS)
_BOOL = np.dtype(bool)
_LOCK = threading.Lock()


def _family(key: Hashable) -> Bounded:
    """What the calls of a family share."""
    found = _FAMILIES.get(key)
    if found is None:
        found = _FAMILIES[key] = Bounded(MOST_KINDS)
    return found


class Call:
    """A function of arrays: `fn(*arrays)` gives an array or a pytree of arrays.

    Compared by identity: `intern_call` makes one for each specification.

    Args:
      name: for messages and drawings.
      fn: the function.
      shapes: what a trace for one shape says about another. FIXED, nothing: the function takes one shape only, or is a
        function of the user's, which may ask shapes whatever it likes. CHECKED, as much as a comparison finds. ALIKE,
        everything.
      known: the trace, where the function was made of one.
    """

    # What stands for static arguments that are sizes among the avals of arguments.
    extra: tuple[Aval, ...] = ()
    may_fail = False  # whether it calls back into Python, where anything may be raised
    stubborn = False  # whether it cannot be differentiated
    _rule: Any = None
    _sized: Sized | None = None
    # Of these most calls have none, or one: Typed by avals, and those that no table below has yet; General by kind,
    # Typed of what no size decides, Lettered.
    _typed: Bounded | None = None
    _fresh: tuple[Typed, ...] = ()
    _general: Bounded | None = None
    _models: Bounded | None = None
    _letters: Bounded | None = None

    def __init__(
        self, name: str, fn: Callable[..., Any], shapes: int = CHECKED, known: Traced | None = None
    ) -> None:
        self.name = name
        self.fn = fn
        self._shapes = shapes
        self._known = known
        if known is None:
            self._rule = rule_of(fn)
            sized = self._sized = getattr(fn, "sized", None)
            if sized is not None:
                self.extra = (intern(sized.sizes, _BOOL, False),)
                self._letters = _family(sized.family)

    def __repr__(self) -> str:
        return self.name

    def flat(self, *args: Any) -> list[Any]:
        """The results as a flat list."""
        return jax.tree.leaves(self.fn(*args))

    def traced(self, avals: Sequence[Aval], wants: tuple[int, ...], x64: bool) -> Traced:
        """Forward, and where gradients are wanted backward, for given avals."""
        forward = self._known or self._traced(avals, (), x64)
        if not wants:
            return forward
        try:
            return reversed_of(forward, wants)
        except Left:
            return self._traced(avals, wants, x64)

    def backward(self, pull: Traced) -> Call:
        """The pullback of this call, which was written, as a call."""
        return Call(f"backward of {self.name}", jaxpr_as_fun(pull.jaxpr), FIXED, pull)

    def joint(
        self, avals: Sequence[Aval], wants: tuple[int, ...], x64: bool, forward: Traced, again: bool
    ) -> Joint:
        """Forward and pullback to the arguments `wants`, of a forward that is known; `again`: see `split`."""
        try:
            return joint_of(forward, wants, again)
        except Left:
            return split(self._traced(avals, wants, x64), again)

    def _traced(self, avals: Sequence[Aval], wants: tuple[int, ...], x64: bool) -> Traced:
        """JAX's trace, or what a rule writes in its place; from that of like avals where those are known."""
        if self._rule is not None and not wants:
            written = write(self._rule, avals)
            if written is not None:
                return Traced(written, LEAF, ())

        def now(structs: Sequence[Any]) -> Traced:
            return trace(unjitted(self.fn), structs, wants)

        if self._shapes == FIXED:
            return flattened(trace(self.fn, [a.struct for a in avals], wants))
        key = (kind(avals), wants, x64)
        known = self._table("_general")
        general = known.get(key)
        if general is None:
            general = known[key] = General(self._shapes == ALIKE)
        return general.at(avals, now)

    def on(self, avals: tuple[Aval, ...], x64: bool, wants: tuple[int, ...] = ()) -> Typed:
        """This call on given avals; raises ShapeError, with the user's line, where it takes no such arguments.

        wants: the arguments to which gradients will flow, as far as is known now.
        """
        known = self._typed
        if known is None:
            known = self._typed = Bounded(MOST_SHAPES)
        found = known.get((avals, x64))
        if found is None:
            stats.inferences += 1
            try:
                found = in_x64(x64, quietly, self._new, avals, x64, wants)
            except (TypeError, ValueError) as error:
                if isinstance(
                    error, jax.errors.JAXTypeError
                ):  # about tracing, not about shapes: keep its class
                    error.add_note(f"while recording {self.name} at {user_line()}")
                    raise
                if raised_in(error, ours=False):
                    raise
                given = ", ".join(map(repr, avals))
                raise ShapeError(f"{self.name}({given}) at {user_line()}: {_first_lines(error)}") from None
            known[avals, x64] = found
        return found

    def _new(self, avals: tuple[Aval, ...], x64: bool, wants: tuple[int, ...]) -> Typed:
        """The call on arguments of new avals: from what no size decides, or traced."""
        precision = now()[1]  # of products, in whose equations it stands
        if self._rule is None or precision is not None:
            return Typed(self, avals, x64).trace(wants)
        if self._fresh:
            self._sort()
        if self._models is not None:
            model = self._models.get((kind_of(avals), x64))
            found = None if model is None else model.resized(avals)
            if found is not None:
                return found
        if self._letters is not None:
            known = self._letters.get((kind((*avals, *self.extra)), x64))
            found = None if known is None else known.at(self, avals)
            if found is not None:
                return found
        found = Typed(self, avals, x64).trace(wants)
        self._fresh = (*self._fresh, found)
        if self._sized is not None:  # others look there
            self._sort()
        return found

    def _sort(self) -> None:
        """Put what was traced where calls on other shapes look: most calls never see any."""
        fresh, self._fresh = self._fresh, ()
        for found in fresh:
            if not found.made:
                continue
            if found.each:
                self._table("_models").setdefault((kind_of(found.args), found.x64), found)
            elif on_host():
                key = kind((*found.args, *self.extra)), found.x64
                self._table("_letters").setdefault(key, Lettered(found))

    def rule_with(self, letters: dict[int, int]) -> Any:
        """The rule, with letters for static arguments that are sizes."""
        sized = self._sized
        return self._rule if sized is None else sized.rule(tuple([letters.get(n, n) for n in sized.sizes]))

    def _table(self, name: str) -> Bounded:
        """One of the tables that most calls do without."""
        found = getattr(self, name)
        if found is None:
            found = Bounded(MOST_KINDS)
            setattr(self, name, found)
        return found


def intern_call(spec: Hashable, build: Callable[[], tuple]) -> Call:
    """The one call of a specification; `build` gives what makes it, when it is new: name, function, and `shapes`."""
    found = _CALLS.get(spec)
    if found is None:
        with _LOCK:
            found = _CALLS.get(spec)
            if found is None:
                found = _CALLS[spec] = Call(*build())
    return found


def clear_calls() -> None:
    """Forget all calls, and with them their kernels."""
    _CALLS.clear()
    _FAMILIES.clear()


def _first_lines(error: BaseException) -> str:
    text = str(error).strip()
    return text.split("\n\n")[0] if text else type(error).__name__
