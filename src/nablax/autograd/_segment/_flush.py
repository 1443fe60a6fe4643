"""Segments: what a recording becomes when a value is needed.

The program of a segment is kept at the trie state where the recording ended, one for each set of results still alive,
and shared between threads by its steps. How it runs depends on what is known:

- First tier: operation by operation, with NumPy on CPU (`Line`).
- One compiled program for the whole, once it has run so often that compiling pays (`Hot`).
- Under jax.jit, grad or vmap (inputs are tracers), the replay runs inline.

A segment whose results carry gradients leaves a `Node` behind. What its backward needs is handed out by the compiled
forward (the residuals of `jax.vjp`) where the segment is big, and computed again by the backward where it is tiny; the
first tier keeps its environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from typing import Any
from weakref import ref

from .._ground._aval import PLAIN, config
from .._ground._references import OWN
from .._ground._settings import now, under
from .._ground._stats import stats
from .._path._recorded import value_of
from .._path._trace import Trace, local
from .._program._forward import AGAIN
from .._program._program import program_for
from .._program._tiers import settings as tiers
from ._rescue import rescue
from ._settle import settle


def flush(trace: Trace) -> None:
    """End the recording: compute the values that someone still holds, and start a new one."""
    end = trace.state
    if end is trace.closed:
        return
    if trace.settings != now():
        with under(trace.settings):
            return flush(trace)
    settings = trace.settings
    alive = [t for t in trace.outs if getrefcount(t) > OWN]
    slots = tuple([t._s.slot for t in alive])
    known = end.programs.get(slots)
    program = None if known is None else known()
    if program is None:
        program = program_for(end, slots)
        end.keep(slots, ref(program))
    else:
        program.used = True
    values, links, tracing, x64 = trace.values, trace.links, trace.tracing, trace.x64
    outs, watched, inputs = trace.outs, trace.watched, trace.inputs
    results: Sequence[Any]
    try:
        for tensor in inputs:
            if tensor is not None:
                state = tensor._s
                if state is not None and state.step.enters:
                    tensor._s = None
        habit = trace.root.habit
        habit.slots += end.size
        if trace.turned >= 0:
            trace.account()
        trace.clear()
        if program.quick and not tracing and x64 == config.jax_enable_x64 and not tiers.interpreted:
            stats.segments += 1
            stats.hits += 1
            results = program.compiled(*values)
            residual = AGAIN
            if results and results[0].__class__ not in PLAIN:
                results, residual = program.forward(values, tracing, x64, settings)
        else:
            results, residual = program.forward(values, tracing, x64, settings)
    except Exception as error:
        rescue(error, program, end, outs, alive, values, links, tracing, watched, settings)
        raise
    except BaseException:  # interrupted
        trace.resume(end, values, inputs, links, outs, watched)
        raise
    try:
        settle(program, end, alive, values, links, results, residual, watched, settings)
    except BaseException:  # interrupted: some have their values
        settle(program, end, alive, values, links, results, residual, watched, settings)
        raise


def realize(tensor: Any) -> Any:
    """The value of a tensor, for whose sake its recording ends."""
    state = tensor._s
    if state is not None and not state.step.enters:
        trace = local.trace
        if state.trace is trace:
            flush(trace)
        else:
            state.trace.hand_over(tensor)
    return value_of(tensor)


Trace.flush = flush  # a trace is below this file, and ends itself where an operation makes it
