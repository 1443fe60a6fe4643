"""Recording one operation: its arguments become states, the state after it becomes tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np

from .._ground._aval import aval_of
from .._operation._call import intern_call
from ._entering import Restart
from ._recorded import Recorded, blank
from ._trace import Trace, local
from ._trie import State


def state_of(trace: Trace, value: Any) -> State:
    """The state of an argument: a tensor, an array or a Python number (which enters with JAX's weak type)."""
    if isinstance(value, Recorded):
        return trace.source(value)
    if value.__class__ is np.ndarray:
        aval = aval_of(value, trace.has_64_bits)
        state = trace.state.edges.get((aval, False))
        if state is None:
            return trace.enter(aval, value)
        trace.values.append(value.copy())  # its owner may write to it before this recording runs
        trace.inputs.append(None)
        trace.state = state
        return state
    return trace.enter(aval_of(value, trace.has_64_bits), value)


def emit(trace: Trace, state: State) -> Any:
    """A Tensor for the value of a state."""
    tensor = blank()
    tensor._s = state
    tensor._r = False
    tensor._n = None
    trace.append(tensor)
    return tensor


def results(trace: Trace, state: State) -> Any:
    """Tensors for the results of the operation that led to a state, in the structure that it returned."""
    if state.tree is None:
        made = emit(trace, state)
    else:
        made = jax.tree.unflatten(state.tree, [emit(trace, out) for out in state.outs or ()])
    if trace.probe is not None:
        trace.probe(state, made)
    return made


def record(spec: Hashable, build: Callable[[], tuple], args: Sequence[Any], sever: bool = False) -> State:
    """Record one operation on tensors, arrays or numbers, and return the state after it.

    Args:
      spec: identifies the operation with its static arguments.
      build: gives what makes the `Call` when the operation is new.
      args: the arguments that are arrays.
      sever: cut the gradient.
    """
    trace = local.trace
    if trace.state.full:
        trace.cut()
    trace.meet(args)
    try:
        states = [trace.source(a) if isinstance(a, Recorded) else state_of(trace, a) for a in args]
    except Restart:
        trace.flush()
        states = [state_of(trace, a) for a in args]
    if trace.state is trace.closed:
        trace.begin()
    key = (spec, *states)
    state = trace.state.edges.get(key)
    if state is not None:
        trace.state = state
        return state
    if trace.wanders and trace.strays(key):
        return record(spec, build, args, sever)
    state = trace.state = trace.extend(key, intern_call(spec, build), states, sever)
    return state
