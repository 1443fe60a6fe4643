"""The fast path of recording: what makes the operators and methods of a tensor.

The fast path is one look-up: the key is the operation's name and the states of its arguments, or, for a Python number,
its type and value. It misses for everything unusual (a first use, an array, a recording of another thread) and the slow
path then sorts it out. Written with care for the interpreter: an operation costs about half a microsecond here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._ground._aval import aval_of
from .._ground._narrow import is_large
from .._ground._sites import varies
from .._operation._call import ALIKE, CHECKED, intern_call
from .._operation._written import beside
from .._path import _recorded
from .._path._entering import TOO_LARGE, Restart
from .._path._record import record, results
from .._path._recorded import Recorded
from .._path._trace import local
from .._segment._cut import cut
from .._segment._flush import flush
from ._large import beside as beside_32

_NUMBERS = (int, float, bool, complex)
_ARRAYS = (jax.Array, np.ndarray, np.generic)
POWERS = 4  # integer powers at one place that are baked in: x**2 is cheaper than x**n
_KIND: Any = None  # the class of results, here, too: a global is what the fast path reads quickest


def use(kind: type) -> None:
    """Name the class of results: Tensor, which is built from these methods."""
    global _KIND
    _KIND = kind
    _recorded.use(kind)


def unary(name: str, fn: Callable[[Any], Any], shapes: int = CHECKED) -> Callable[[Any], Any]:
    """A method that records `fn(self)`; `shapes` as `Call` takes it."""

    def build() -> tuple[str, Callable[..., Any], int]:
        return name, fn, shapes

    def slow(self: Any) -> Any:
        return results(local.trace, record(name, build, (self,)))

    def method(self: Any) -> Any:
        trace = local.trace
        here = self._s
        try:
            if here is None:
                if trace.state.full:
                    return slow(self)
                here = trace.source(self)
            before = trace.state
            state = before.guess
            if state is None or state.a is not here or state.op is not name or state.b is not None:
                state = before.guess = before.edges[name, here]
        except (KeyError, Restart):
            return slow(self)
        result = _KIND()
        result._s = trace.state = state
        result._r = False
        result._n = None
        trace.append(result)
        return result

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name} of every element, recorded." if fn.__doc__ is None else None
    return method


def binary(
    name: str, fn: Callable[[Any, Any], Any], product: bool = False
) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """The methods that record `fn(self, other)` and `fn(other, self)`; `product`: whether a setting of JAX matters."""
    swapped = "r" + name

    def build() -> tuple[str, Callable[..., Any], int]:
        return name, fn, ALIKE

    def number(self: Any, other: Any, key: str) -> Any:
        """With a Python number: baked into the program until it has had too many values, then an input."""
        trace = local.trace
        if trace.state.full:
            cut(trace)
        if trace.x64:
            trace.meet((self,))
        try:
            state = trace.source(self)
        except Restart:
            flush(trace)
            state = trace.source(self)
        here = trace.state
        kind = type(other)
        if kind is int and is_large(other) and not trace.x64:
            other = beside_32(name, other, state.aval)
            kind = type(other)
            if kind is np.uint32:
                return array(self, other, key)
        group = (key, state, kind)
        met = here.literals.get(group, ())
        if met is None:  # it varies
            entered = here.edges.get((aval_of(other, trace.x64), False))
            after = None
            if entered is not None and abs(other) < TOO_LARGE:
                after = entered.edges.get((name, state, entered) if key is name else (name, entered, state))
            if after is None:
                return array(self, other, key)
            trace.values.append(other)
            trace.inputs.append(None)
            trace.state = after
            return results(trace, after)
        known = here.edges.get((key, state, kind, other)) if other else None
        if known is not None:
            trace.state = known
            return results(trace, known)
        if trace.wanders and trace.strays((key, state, kind, other)):
            return number(self, other, key)
        value = other if other and other == other else repr(other)  # NaN and -0.0 by their names
        most = POWERS if name == "pow" and kind is int else 1
        if kind is not bool and varies((key, kind), value, most):
            here.note(group, None)
            here.guess = None
            for old in met:
                here.edges.pop((key, state, kind, old), None)
            return array(self, other, key)
        here.note(group, [*met, value])

        def with_number() -> tuple[str, Callable[..., Any], int]:
            shown = f"{name}[{other}]"  # as drawings and messages show it
            return shown, beside(fn, other, key is not name), ALIKE

        spec = (key, kind, value)
        after = trace.apply((key, state, kind, value), lambda: intern_call(spec, with_number), (state,))
        return results(trace, after)

    def array(self: Any, other: Any, key: str) -> Any:
        pair = (self, other) if key is name else (other, self)
        return results(local.trace, record(name, build, pair))

    def slow(self: Any, other: Any, key: str) -> Any:
        if isinstance(other, np.integer) and is_large(int(other)):
            return number(self, int(other), key)
        if isinstance(other, (Recorded, *_ARRAYS)):
            return array(self, other, key)
        if isinstance(other, _NUMBERS):
            return number(self, other, key)
        if isinstance(other, list | tuple):
            return array(self, np.asarray(other), key)
        return NotImplemented

    def method(self: Any, other: Any) -> Any:
        trace = local.trace
        if product:
            trace.meet()
        kind = other.__class__
        here = self._s
        try:
            if here is None:
                if trace.state.full:
                    return slow(self, other, name)
                here = trace.source(self)
            if kind is float or kind is int:
                if not other:
                    return slow(self, other, name)
                before = trace.state
                state = before.guess
                if (
                    state is None
                    or state.b != other
                    or state.a is not here
                    or state.op is not name
                    or state.b.__class__ is not kind
                ):
                    state = before.edges.get((name, here, kind, other))
                    if state is None:
                        return number(self, other, name)
                    before.guess = state
            else:
                there = other._s
                if there is None:
                    if trace.state.full:
                        return slow(self, other, name)
                    there = trace.source(other)
                before = trace.state
                state = before.guess
                if state is None or state.b is not there or state.a is not here or state.op is not name:
                    state = before.guess = before.edges[name, here, there]
        except (KeyError, AttributeError, TypeError, Restart):
            return slow(self, other, name)
        result = _KIND()
        result._s = trace.state = state
        result._r = False
        result._n = None
        trace.append(result)
        return result

    def reflected(self: Any, other: Any) -> Any:
        trace = local.trace
        kind = other.__class__
        if (kind is not float and kind is not int) or not other:
            return slow(self, other, swapped)
        here = self._s
        try:
            if here is None:
                if trace.state.full:
                    return slow(self, other, swapped)
                here = trace.source(self)
            before = trace.state
            state = before.guess
            if (
                state is None
                or state.b != other
                or state.a is not here
                or state.op is not swapped
                or state.b.__class__ is not kind
            ):
                state = before.edges.get((swapped, here, kind, other))
                if state is None:
                    return number(self, other, swapped)
                before.guess = state
        except (KeyError, Restart):
            return slow(self, other, swapped)
        result = _KIND()
        result._s = trace.state = state
        result._r = False
        result._n = None
        trace.append(result)
        return result

    method.__name__ = method.__qualname__ = name
    reflected.__name__ = reflected.__qualname__ = swapped
    return method, reflected
