"""Values from outside: how they become inputs of a recording, and which of them end it first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from .._ground._aval import PLAIN, WIDE, X64, Aval
from .._ground._narrow import narrowed
from .._ground._settings import now
from ._growing import Growing
from ._recorded import is_wide, link_of, value_of
from ._steps import Input
from ._trie import State


class Restart(Exception):
    """A recording opened without x64 meets a 64-bit value, or one of values a tracer: it must end, and the operation
    start another."""


TOO_LARGE = 2.0**128 - 2.0**103  # for a number of 32 bits: such are infinite, as in torch
NOWHERE = 1 << 62


def transformation() -> Any:
    """The transformation of JAX that is running now, to be compared."""
    return get_opaque_trace_state(convention="nnx")


class Entering(Growing):
    """The part of a trace by which values enter."""

    __slots__ = ("closed", "inputs", "links", "on", "outs", "settings", "tracing", "values", "wide", "within")

    flush: ClassVar[Callable[[Any], None]]

    closed: State
    inputs: list[Any]
    links: dict[int, Any]
    on: bool
    outs: list[Any]
    settings: Any
    tracing: bool
    values: list[Any]
    wide: bool
    within: Any

    def begin(self) -> None:
        raise NotImplementedError

    def discard(self) -> None:
        raise NotImplementedError

    def source(self, tensor: Any) -> State:
        """The state of a tensor in this recording; a tensor from outside becomes an input."""
        state = tensor._s
        if state is not None:
            if state.trace is self:
                return state
            if not hasattr(tensor, "_v"):
                state.trace.hand_over(tensor)
        if self.tracing and self.within != transformation():
            self.discard()  # left behind by a transformation that is over: its tracers are gone
        before = self.state
        if before is self.closed:
            self.begin()
            before = self.state
        try:
            value = tensor._v
        except AttributeError:
            value = value_of(tensor)  # which says why there is none
        node, aval = tensor._n, tensor._a
        needs = tensor._r or node is not None
        state = before.guess
        if state is None or state.a is not aval or state.op is not needs:
            state = before.edges.get((aval, needs))
            if state is not None:
                before.guess = state
        if state is None or value.__class__ not in PLAIN:
            state = self.enter(aval, value, needs, tensor)
        else:
            self.values.append(value)
            self.inputs.append(tensor)
            self.state = state
        if needs:
            self.links[state.slot] = tensor if tensor._r else link_of(tensor)
        tensor._s = state
        return state

    def enter(self, aval: Aval, value: Any, needs: bool = False, tensor: Any = None) -> State:
        """Record an input."""
        if self.state is self.closed:
            self.begin()
        if not self.x64 and aval.dtype in WIDE:
            self.wide = True
            raise Restart
        if isinstance(value, jax.core.Tracer):
            if not self.tracing and self.outs:
                raise Restart  # what was recorded before has values of its own, and outlives the tracer
            self.tracing, self.within = True, transformation()
        elif tensor is None and isinstance(value, np.ndarray):
            # A copy, for its owner may write to it before this recording runs.
            value = value.copy() if value.dtype == aval.dtype else narrowed("an array", value, aval.dtype)
        elif value.__class__ is float and aval.dtype.itemsize == 4 and abs(value) >= TOO_LARGE:
            value = math.copysign(math.inf, value)
        key = (aval, needs)
        state = self.state.edges.get(key)
        if state is None:
            if self.turned < 0:
                # If another entered here before, only the size is new.
                other = next(iter(self.state.edges.values()), None)
                alike = other is not None and other.step is not None and other.step.enters
                self.turned = NOWHERE if alike else self.state.size
            state = State(self, self.state, self.mode).result(aval, needs, 0)
            state.step = Input(aval, needs)
            state.op, state.a = key[1], aval
            state.sources |= state.mask
            state.here(2)
            self.state.edges[key] = state
            self.grow(1)
        self.values.append(value)
        self.inputs.append(tensor)
        self.state = state
        return state

    def meet(self, args: Iterable[Any] | None = None) -> None:
        """End a recording that was opened under other settings of JAX; or, where x64 is off, for other arguments:
        an operation has 64 bits where x64 is on at its line, or where one of its arguments has."""
        if self.state is self.closed:
            return
        other = self.settings != now() or self.on != X64.value
        if other or (self.x64 and not self.on and args is not None and not any(map(is_wide, args))):
            self.flush()

    @property
    def has_64_bits(self) -> bool:
        """Whether the open recording holds them, or the next one must."""
        return self.wide if self.state is self.closed else self.x64
