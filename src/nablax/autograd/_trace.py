"""The trace: the recording that is open in a thread.

An operation moves `state` along an edge of the trie and appends its result to `outs`. Reading a value ends the
recording: `flush` (in _segment.py) runs the program of the last state and clears the trace.

Liveness: a segment hands out the results that someone still holds. `outs` refers to the results strongly and counts
their references when the segment ends: equivalent to weak references, and half their price (a weak reference is one
more allocation for each operation). Clearing `outs` at the end leaves no cycle behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from ._aval import Aval, aval_of, config
from ._call import Call, intern_call
from ._errors import ThreadError, user_frame, user_line
from ._trie import Apply, Gradient, Input, Leaf, State, bits

new = object.__new__
_ARRAY = type(jax.numpy.zeros(()))
MOST_ROOTS = 4096  # tries kept by a thread
LITERALS = 3  # values of a Python number at one state that are baked in, before the number becomes an input
HEAVIEST = 32  # a single operation counts for no more than this towards max_segment


class Recorded:
    """The fields of a Tensor. Those in _UNSET read as the value there until they are set.

    _s: state in the open recording, or None.    _v: value; unset while the operation is only recorded.
    _a: aval of the value.                       _r: whether this is a leaf that requires grad.
    _n, _k: node of the graph and output of it.  _g: .grad.
    _hooks: functions of the gradient.           _keep: whether an intermediate keeps its gradient.
    """

    __slots__ = ("__weakref__", "_a", "_g", "_hooks", "_k", "_keep", "_n", "_name", "_r", "_s", "_v")

    _s: State | None
    _v: Any
    _a: Aval
    _r: bool
    _n: Any
    _k: int
    _g: Any
    _hooks: list | None
    _keep: bool
    _name: str | None

    if TYPE_CHECKING:  # what Tensor has, for the modules that only know this class
        shape: Any
        dtype: Any
        size: Any
        requires_grad: Any
        value: Any
        _aval: Any


_UNSET: dict[str, Any] = {
    "_r": False,
    "_n": None,
    "_g": None,
    "_hooks": None,
    "_keep": False,
    "_name": None,
    "_s": None,
}


class Settings:
    """max_segment: operations in a recording before it is cut (see `max_segment`)."""

    max_segment = 256


settings = Settings()


class Restart(Exception):
    """A recording opened without x64 meets a 64-bit value, or one of values a tracer: it must end, and the operation
    start another."""


_WIDE = {np.dtype(t) for t in ("float64", "int64", "uint64", "complex128")}


def transformation() -> Any:
    """The transformation of JAX that is running now, to be compared."""
    return get_opaque_trace_state(convention="nnx")


class Trace:
    """One thread's open recording."""

    __slots__ = (
        "__weakref__", "append", "closed", "inputs", "keep", "kind", "links", "mode", "outs", "probe", "roots", "state",
        "tracing", "values", "within", "x64",
    )  # fmt: skip

    def __init__(self) -> None:
        self.mode = True
        self.roots: dict[tuple, State] = {}
        self.probe: Any = None
        self.closed = State(self, None, True)
        self.clear()

    def clear(self) -> None:
        """Start anew."""
        self.outs: list[Any] = []
        self.append = self.outs.append
        self.values: list[Any] = []
        self.inputs: list[Any] = []  # the tensors that hold the values, or None
        self.links: dict[int, Any] = {}  # slot of a source -> where its gradient goes
        self.keep: list[Any] = []  # recorded tensors that want their gradient
        self.tracing = False
        self.within: Any = None  # the transformation that the tracers belong to
        self.rest()

    def begin(self) -> None:
        """Take the root for the current settings and for the line of the user's code that starts the recording.

        Lines have tries of their own so that a state's line is right; programs are shared between them.
        """
        self.x64 = config.jax_enable_x64
        frame = user_frame()
        caller = frame and frame.f_back
        line = frame and (id(frame.f_code), frame.f_lasti)
        key = (
            (self.x64, self.mode, settings.max_segment, line)
            if caller is None
            else (self.x64, self.mode, settings.max_segment, line, id(caller.f_code), caller.f_lasti)
        )
        root = self.roots.get(key)
        if root is None:
            if len(self.roots) >= MOST_ROOTS:
                self.roots.clear()
            root = self.roots[key] = State(self, None, self.mode)
            root.code = (
                frame and frame.f_code,
                caller and caller.f_code,
            )  # alive, so that no other takes their ids
        self.state = root

    def rest(self) -> None:
        """No recording is open: a root without edges, so that the first operation takes the slow path to `begin`."""
        self.state = self.closed
        self.state.mode = self.mode

    def discard(self) -> None:
        """Drop what is still recorded: its values can no longer be computed (their tracers are gone)."""
        if self.state is not self.closed:
            for tensor in (*self.outs, *self.inputs):
                if tensor is not None:
                    tensor._s = None
            self.clear()

    # -- moving along edges -------------------------------------------------------------------------------------

    def source(self, tensor: Any) -> State:
        """The state of a tensor in this recording; a tensor from outside becomes an input."""
        state = tensor._s
        if state is not None:
            if state.trace is self:
                return state
            if not hasattr(tensor, "_v"):
                raise ThreadError(
                    f"a tensor recorded at {state.where or 'another line'} by another thread has no value yet; read it "
                    f"there (tensor.realize()) before other threads use it. Used at {user_line()}."
                )
        if self.tracing and self.within != transformation():
            self.discard()  # left behind by a transformation that is over: its tracers are gone
        if self.state is self.closed:
            self.begin()
        needs = tensor._r or tensor._n is not None
        state = self.state.edges.get((tensor._a, needs))
        value = tensor._v
        if state is None or value.__class__ is not _ARRAY:
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
        if not self.x64 and aval.dtype in _WIDE:
            raise Restart
        if isinstance(value, jax.core.Tracer):
            if not self.tracing and self.outs:
                raise Restart  # what was recorded before has values of its own, and outlives the tracer
            self.tracing, self.within = True, transformation()
        elif tensor is None and isinstance(value, np.ndarray):
            value = value.copy()  # its owner may write to it before this recording runs
        key = (aval, needs)
        state = self.state.edges.get(key)
        if state is None:
            state = State(self, self.state, self.mode).result(aval, needs, 0)
            state.step = Input(aval, needs)
            state.sources |= state.mask
            state.where = user_line()
            self.state.edges[key] = state
        self.values.append(value)
        self.inputs.append(tensor)
        self.state = state
        return state

    def set_mode(self, mode: bool) -> None:
        """Record gradients from here on, or not."""
        if mode == self.mode:
            return
        self.mode = mode
        if self.state is self.closed:
            self.rest()
            return
        state = self.state.edges.get((mode,))
        if state is None:
            state = self.state.edges[mode,] = State(self, self.state, mode)
        self.state = state

    def apply(
        self, key: tuple, call: Callable[[], Call], args: Sequence[State], sever: bool = False
    ) -> State:
        """Record an operation: along the edge if it is there, else a new one."""
        state = self.state.edges.get(key)
        if state is None:
            state = self._extend(key, call(), args, sever)
        self.state = state
        return state

    def _extend(self, key: tuple, call: Call, args: Sequence[State], sever: bool, donate: int = -1) -> State:
        parent = self.state
        avals = tuple(arg.aval for arg in args)
        if self.x64 == config.jax_enable_x64:
            found = call.infer(avals, self.x64)
        else:
            with jax.enable_x64(self.x64):
                found = call.infer(avals, self.x64)
        any_needs = any(arg.needs for arg in args)
        carries = any_needs and self.mode and not sever
        mask = 0
        for arg in args:
            mask |= arg.mask
        needs = tuple(carries and aval.inexact for aval in found.avals)
        state = State(self, parent, self.mode)
        state.step = Apply(call, tuple(arg.slot for arg in args), sever or not self.mode, needs, donate)
        self._results(state, found.avals, needs, mask)
        state.tree = found.tree
        state.weight += min(found.weight, HEAVIEST)
        state.full = state.weight >= settings.max_segment
        state.key = key
        parent.edges[key] = state
        return state

    def _results(self, state: State, avals: Sequence[Aval], needs: Sequence[bool], mask: int) -> None:
        state.where = user_line()
        outs = []
        for aval, need in zip(avals, needs, strict=True):
            out = State(self, None, self.mode) if len(avals) != 1 else state
            out.size = state.size
            out.result(aval, need, mask)
            state.size = out.size
            out.where = state.where
            outs.append(out)
        state.outs = tuple(outs)

    def leaf(self, state: State) -> State:
        """A recorded value as a leaf of its own (an update in place under no_grad())."""
        key = ("leaf", state)
        found = self.state.edges.get(key)
        if found is None:
            found = State(self, self.state, self.mode).result(state.aval, True, 0)
            found.step = Leaf(state.slot, state.aval)
            found.sources |= found.mask
            found.where = user_line()
            self.state.edges[key] = found
        self.state = found
        return found

    def gradient(self, roots: Sequence[State], cotangents: Sequence[State | None], wanted: int | None, extra: int,
                 retain: bool, create: bool) -> State:  # fmt: skip
        """Record a backward; `targets` of the state it leads to are the slots whose gradients its results are.

        wanted: bits of the sources of interest, None for all.  extra: bits of other slots of interest.
        """
        key = ("gradient", tuple(roots), tuple(cotangents), wanted, extra, retain, create)
        state = self.state.edges.get(key)
        if state is None:
            mask = 0
            for root in roots:
                mask |= root.mask
            sources = self.state.sources
            targets = tuple(bits(mask & (sources if wanted is None else sources & wanted | extra)))
            if wanted is None and extra:
                targets = tuple(bits(mask & (sources | extra)))
            by_slot = {s.slot: s.aval for p in self.state.path() for s in (p.outs or (p,))}
            avals = tuple(by_slot[t] for t in targets)
            state = State(self, self.state, self.mode)
            given = tuple(-1 if ct is None else ct.slot for ct in cotangents)
            state.step = Gradient(tuple(root.slot for root in roots), given, targets, avals, create)
            for ct in cotangents:
                mask |= 0 if ct is None else ct.mask
            self._results(state, avals, [create] * len(avals), mask)
            state.targets = targets
            state.weight = 0  # a backward costs what its forward costs: cut forwards, never between the two
            if not retain:
                state.freed |= mask & ~sources
            self.state.edges[key] = state
        self.state = state
        return state


class _Local(threading.local):
    def __init__(self) -> None:
        self.trace = Trace()


local = _Local()


class apart:
    """A context for code that JAX traces: it records in a trace of its own, which ends with it.

    So it neither disturbs the recording during which it runs, nor leaves tracers there.
    """

    def __enter__(self) -> None:
        self._outer = local.trace
        local.trace = Trace()

    def __exit__(self, *error: object) -> None:
        local.trace.discard()
        local.trace = self._outer


def link_of(tensor: Any) -> Any:
    """Where a tensor's gradient goes: the leaf itself, or (node, output)."""
    if tensor._r:
        return tensor
    return tensor._n if tensor._k < 0 else (tensor._n, tensor._k)


def plain(value: Any) -> Any:
    """An array that enters as an input: NumPy arrays stay what they are, jit takes them faster than jnp.asarray."""
    return value if isinstance(value, jax.Array | np.ndarray | np.generic) else np.asarray(value)


def state_of(trace: Trace, value: Any) -> State:
    """The state of an argument: a tensor, an array or a Python number (which enters with JAX's weak type)."""
    if isinstance(value, Recorded):
        return trace.source(value)
    return trace.enter(aval_of(value), value)


def emit(trace: Trace, state: State, kind: type) -> Any:
    """A Tensor for the value of a state."""
    tensor: Any = new(kind)
    tensor._s = state
    trace.append(tensor)
    return tensor


def results(trace: Trace, state: State, kind: type) -> Any:
    """Tensors for the results of the operation that led to a state, in the structure that it returned."""
    if state.tree is None:
        made = emit(trace, state, kind)
    else:
        made = jax.tree.unflatten(state.tree, [emit(trace, out, kind) for out in state.outs or ()])
    if trace.probe is not None:
        trace.probe(state, made)
    return made


def record(spec: Hashable, build: Callable[[], tuple[str, Callable[..., Any]]], args: Sequence[Any],
           sever: bool = False) -> State:  # fmt: skip
    """Record one operation on tensors, arrays or numbers, and return the state after it.

    Args:
      spec: identifies the operation with its static arguments.
      build: gives name and function when the operation is new.
      args: the arguments that are arrays.
      sever: cut the gradient.
    """
    trace = local.trace
    if trace.state.full:
        from ._cut import cut

        cut(trace)
    try:
        states = [trace.source(a) if isinstance(a, Recorded) else state_of(trace, a) for a in args]
    except Restart:
        from ._segment import flush

        flush(trace)
        states = [state_of(trace, a) for a in args]
    if trace.state is trace.closed:
        trace.begin()
    key = (spec, *states)
    state = trace.state.edges.get(key)
    if state is not None:
        trace.state = state
        return state
    state = trace.apply(key, lambda: intern_call(spec, build), states, sever)
    return state
