"""Adding to `.grad`, in the same buffer."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from .._operation._call import ALIKE, intern_call
from .._operation._kernel import plus
from .._operation._written import by
from .._operation._written._elementwise import add
from .._path._entering import Restart
from .._path._recorded import as_tensor, is_recorded, value_of
from .._path._trace import Trace
from .._segment._flush import flush

accumulating = threading.RLock()  # held until what was added has its value: threads may share leaves


def add_to(trace: Trace, total: Any, gradient: Any) -> None:
    """total += gradient, into the same buffer; a view writes to its base, which may hold the gradients of many."""
    if total._view is not None:
        total.add_(as_tensor(gradient))
        return
    total._mark = object()
    if total._s is None and gradient.__class__ is np.ndarray:
        value = value_of(total)
        if value.__class__ is np.ndarray and value.dtype == gradient.dtype:
            total._v = plus(value, gradient)
            return
    gradient = as_tensor(gradient)
    if trace.state.full:
        flush(trace)
    try:
        states = (trace.source(total), trace.source(gradient))
    except Restart:
        flush(trace)
        states = (trace.source(total), trace.source(gradient))
    key = ("accumulate", *states)
    if key not in trace.state.edges:
        call = intern_call("accumulate", lambda: ("accumulate", by(add, lambda a, b: a + b), ALIKE))
        trace.extend(key, call, states, False, donate=states[0].slot)
    state = trace.state = trace.state.edges[key]
    if not is_recorded(total):
        # No call from here on: where one returns, Ctrl-C may strike, and the gradient would have no value any more.
        trace.outs += (total,)
        del total._v
    total._s = state
