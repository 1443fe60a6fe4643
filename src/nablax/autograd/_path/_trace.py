"""The trace: the recording that is open in a thread.

An operation moves `state` along an edge of the trie and appends its result to `outs`. Reading a value ends the
recording: `flush` runs the program of the last state and clears the trace.

Liveness: a segment hands out the results that someone still holds. `outs` refers to the results strongly and counts
their references when the segment ends: equivalent to weak references, and half their price (a weak reference is one
more allocation for each operation). Clearing `outs` at the end leaves no cycle behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .._ground._aval import X64
from .._ground._errors import ThreadError, user_frame, user_line
from .._ground._settings import now
from .._operation._call import Call
from ._entering import Entering
from ._growing import settings
from ._habit import Habit
from ._trie import State
from ._tries import Tries


class Trace(Entering):
    """One thread's open recording."""

    __slots__ = (
        "__weakref__", "append", "astray", "probe", "root", "thread", "tries", "wanders", "watched",
    )  # fmt: skip

    # How a recording ends, and how one that has become long is cut. What is built on traces says it: _segment.
    flush: ClassVar[Callable[[Trace], None]]
    cut: ClassVar[Callable[[Trace], None]]

    def __init__(self) -> None:
        self.mode = True
        self.fresh = {}
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
        # The first slot that is new in this recording, where it is so for more than its size.
        self.turned = -1
        self.wanders = False  # whether it ends there
        self.watched: dict[int, Any] = {}  # slot -> who wants to know its gradient
        if self.fresh:
            self.fresh = {}
        self.tracing = False
        self.within: Any = None  # the transformation that the tracers belong to
        self.state = self.closed
        self.state.mode = self.mode

    def begin(self) -> None:
        """Take the root for the current settings and for the line of the user's code that starts the recording.

        Lines have tries of their own so that a state's line is right; programs are shared between them.
        """
        self.on = X64.value
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
