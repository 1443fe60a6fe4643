"""The trace: the recording that is open in a thread.

An operation moves `state` along an edge of the trie and appends its result to `outs`. Reading a value ends the
recording: `flush` runs the program of the last state and clears the trace.

Liveness: a segment hands out the results that someone still holds. `outs` refers to the results strongly and counts
their references when the segment ends: equivalent to weak references, and half their price (a weak reference is one
more allocation for each operation). Clearing `outs` at the end leaves no cycle behind.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from .._ground._aval import PLAIN, WIDE, Aval, config
from .._ground._errors import ThreadError, user_frame, user_line
from .._ground._settings import now
from .._operation._call import Call
from ._growing import Growing, settings
from ._habit import Habit
from ._recorded import is_wide, link_of, value_of
from ._steps import Input
from ._trie import State
from ._tries import Tries


class Restart(Exception):
    """A recording opened without x64 meets a 64-bit value, or one of values a tracer: it must end, and the operation
    start another."""


TOO_LARGE = 2.0**128 - 2.0**103  # for a number of 32 bits: such are infinite, as in torch
NOWHERE = 1 << 62


def transformation() -> Any:
    """The transformation of JAX that is running now, to be compared."""
    return get_opaque_trace_state(convention="nnx")


class Trace(Growing):
    """One thread's open recording."""

    __slots__ = (
        "__weakref__", "append", "astray", "closed", "inputs", "links", "on", "outs", "probe", "root", "settings",
        "thread", "tracing", "tries", "values", "wanders", "watched", "wide", "within",
    )  # fmt: skip

    # How a recording ends, and how one that has become long is cut. What is built on traces says it: _segment.
    flush: ClassVar[Callable[[Trace], None]]
    cut: ClassVar[Callable[[Trace], None]]

    def __init__(self) -> None:
        self.mode = True
        self.thread = threading.current_thread()
        self.tries = Tries()
        self.root: Any = None
        self.probe: Any = None
        self.settings = now()
        self.x64 = self.on = False  # whether it holds 64-bit values; whether JAX was set so where it began
        self.wide = False  # whether the next recording must hold 64-bit values
        self.astray = False  # whether the next recording goes on for one that wandered
        self.closed = State(self, None, True)
        self.clear()

    def clear(self) -> None:
        """Start anew: at a root without edges, so that the first operation takes the slow path to `begin`."""
        self.outs: list[Any] = []
        self.append = self.outs.append
        self.values: list[Any] = []
        self.inputs: list[Any] = []  # the tensors that hold the values, or None
        self.links: dict[int, Any] = {}  # slot of a source -> where its gradient goes
        self.wrote = False  # whether a leaf got a new value
        self.turned = (
            -1
        )  # the first slot that is new in this recording, where it is so for more than its size
        self.wanders = False  # whether it ends there
        self.watched: dict[int, Any] = {}  # slot -> who wants to know its gradient
        self.tracing = False
        self.within: Any = None  # the transformation that the tracers belong to
        self.state = self.closed
        self.state.mode = self.mode

    def begin(self) -> None:
        """Take the root for the current settings and for the line of the user's code that starts the recording.

        Lines have tries of their own so that a state's line is right; programs are shared between them.
        """
        self.on = config.jax_enable_x64
        self.x64 = self.on or self.wide
        self.wide = False
        self.settings = now()
        frame = user_frame(3)  # whoever calls this is ours, and so is their caller
        if frame is None:
            key: tuple = (self.x64, self.mode, settings.max_segment, self.settings)
        elif (caller := frame.f_back) is None:
            key = (self.x64, self.mode, settings.max_segment, self.settings, id(frame.f_code), frame.f_lasti)
        else:
            key = (
                self.x64, self.mode, settings.max_segment, self.settings,
                id(frame.f_code), frame.f_lasti, id(caller.f_code), caller.f_lasti,
            )  # fmt: skip
        root = self.tries.get(key)
        if root is None:
            root = self.tries.add(key, State(self, None, self.mode))
            # Alive, so that no other takes their ids.
            root.code = frame and (frame.f_code, frame.f_back and frame.f_back.f_code)
            root.habit = Habit()
        habit = root.habit
        habit.runs += 1
        if self.astray:
            habit.wanders, self.astray = True, False
        self.wanders = habit.wanders
        self.state = self.root = root

    def grow(self, size: int) -> None:
        """Count what was added to the trie of the open recording."""
        self.tries.grow(self.root, size)

    def account(self) -> None:
        """A recording ends that left what is known."""
        if self.root.habit.turned(max(self.state.size - self.turned, 0)):
            self.root.edges.clear()  # nearly each was for one run
            self.tries.shrink(self.root)

    def strays(self, key: tuple) -> bool:
        """Whether the operation `key` starts the next recording, for this one wanders and would take a new turn."""
        if not self.outs or self.tracing or self.root.habit.learns((self.state, key)):
            return False
        state: Any = self.state
        entered = 0
        while state.step is not None and state.step.enters:  # for the operation
            entered += 1
            tensor = self.inputs[-entered]
            if tensor is not None:
                tensor._s = None
            state = state.parent
        if entered:
            # No call among these three: where one returns, Ctrl-C may strike.
            del self.values[-entered:]
            del self.inputs[-entered:]
            self.state = state
        self.flush()
        self.astray = True
        return True

    def forget_all(self) -> None:
        """Drop all tries."""
        self.tries.clear()
        self.root = None

    def discard(self) -> None:
        """Drop what is still recorded: its values can no longer be computed (their tracers are gone)."""
        if self.state is not self.closed:
            for tensor in (*self.outs, *self.inputs):
                if tensor is not None:
                    tensor._s = None
            self.clear()

    def resume(self, end: State, values: list[Any], inputs: list[Any], links: dict[int, Any], outs: list[Any],
               watched: dict[int, Any]) -> None:  # fmt: skip
        """Take up a recording again whose program was interrupted, so that nothing is lost."""
        self.outs, self.append = outs, outs.append
        self.values, self.inputs, self.links, self.watched = values, inputs, links, watched
        for tensor, state in zip(inputs, end.inputs(), strict=True):
            if tensor is not None and tensor._s is None:
                tensor._s = state
        self.state = end

    def hand_over(self, tensor: Any) -> None:
        """Compute a tensor of this recording for another thread, which is safe once this thread has ended."""
        if self.thread.is_alive():
            raise ThreadError(
                f"a tensor recorded at {tensor._s.where or 'another line'} by another thread has no value yet; read it "
                f"there (tensor.realize()) before other threads use it. Used at {user_line()}."
            )
        with _handing_over:
            self.flush()

    # -- moving along edges -------------------------------------------------------------------------------------

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
        if self.state is self.closed:
            self.begin()
        needs = tensor._r or tensor._n is not None
        state = self.state.edges.get((tensor._a, needs))
        value = value_of(tensor)
        if state is None or value.__class__ not in PLAIN:
            state = self.enter(tensor._a, value, needs, tensor)
        else:
            self.values.append(value)
            self.inputs.append(tensor)
            self.state = state
        if needs:
            self.links[state.slot] = link_of(tensor)
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
            value = value.copy()  # its owner may write to it before this recording runs
        elif value.__class__ is float and aval.dtype.itemsize == 4 and abs(value) >= TOO_LARGE:
            value = math.copysign(math.inf, value)
        key = (aval, needs)
        state = self.state.edges.get(key)
        if state is None:
            if self.turned < 0:
                other = next(iter(self.state.edges.values()), None)
                alike = other is not None and other.step is not None and other.step.enters
                self.turned = (
                    NOWHERE if alike else self.state.size
                )  # if another entered, only the size is new
            state = State(self, self.state, self.mode).result(aval, needs, 0)
            state.step = Input(aval, needs)
            state.sources |= state.mask
            state.where = user_line()
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
        other = self.settings != now() or self.on != config.jax_enable_x64
        if other or (self.x64 and not self.on and args is not None and not any(map(is_wide, args))):
            self.flush()

    @property
    def has_64_bits(self) -> bool:
        """Whether the open recording holds them, or the next one must."""
        return self.wide if self.state is self.closed else self.x64

    def set_mode(self, mode: bool) -> None:
        """Record gradients from here on, or not."""
        if mode == self.mode:
            return
        self.mode = mode
        if self.state is self.closed:
            self.closed.mode = mode
            return
        state = self.state.edges.get((mode,))
        if state is None:
            state = self.state.edges[mode,] = State(self, self.state, mode)
            self.grow(1)
        self.state = state

    def apply(
        self, key: tuple, call: Callable[[], Call], args: Sequence[State], sever: bool = False
    ) -> State:
        """Record an operation: along the edge if it is there, else a new one."""
        state = self.state.edges.get(key)
        if state is None:
            state = self.extend(key, call(), args, sever)
        self.state = state
        return state


_handing_over = threading.RLock()


class _Local(threading.local):
    def __init__(self) -> None:
        self.trace = Trace()


local = _Local()
