"""Backward: from results back to leaves.

The part of the graph that is still recorded is differentiated by one Gradient step in the same recording, so that
forward and backward become one program. The part that ran before is a graph of nodes, walked from the latest to the
earliest, one compiled program a node. With create_graph both are recorded as operations, and can be differentiated
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._ground._aval import aval_of
from .._ground._errors import NoGradientError, NonScalarError, user_line
from .._path._record import emit
from .._path._recorded import Recorded, as_tensor
from .._path._trace import Trace, local
from .._path._trie import State
from .._segment._flush import flush
from ._accumulate import accumulating, add_to
from ._cotangents import own
from ._hooks import hooked
from ._sweep import Sweep


def backward(roots: Sequence[Any], cotangents: Sequence[Any], retain: bool, create: bool, lazy: bool) -> None:
    """Accumulate gradients of the roots, weighted with cotangents, in the leaves."""
    trace = local.trace
    known = None
    if not (create or trace.watched) and cotangents[0] is None:
        known = trace.state.edges.get(("gradient", roots[0]._s, retain))
        if known is not None and _quickly(trace, known, lazy):
            return
    sweep = Sweep(create, retain, lazy, None)
    if known is not None:
        sweep.again(roots[0], known)
    else:
        _check(roots, cotangents)
        sweep.start(roots, cotangents)
    sweep.walk()
    sweep.accumulate()


def gradients(
    roots: Sequence[Any],
    inputs: Sequence[Any],
    cotangents: Sequence[Any],
    retain: bool,
    create: bool,
) -> list[Any]:
    """Gradients with respect to `inputs`, None where the roots do not depend on one."""
    _check(roots, cotangents)
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise NoGradientError(
                f"grad: input {i} does not require grad. Call requires_grad_() before computing with it."
            )
    sweep = Sweep(create, retain, False, inputs)
    sweep.start(roots, cotangents)
    sweep.walk()
    found = []
    for x in inputs:
        gradient = sweep.found.get(id(x)) if not x._r else sweep.leaves.get(id(x), (None, None))[1]
        if gradient is not None and x._r and x._hooks:
            gradient = own(hooked(x._hooks, gradient))
        found.append(None if gradient is None else as_tensor(gradient))
    if not create:
        flush(local.trace)
    return found


def _quickly(trace: Trace, state: State, lazy: bool) -> bool:
    """The common backward, seen before, which leads to `state`: that of a recorded number, all of whose gradients go
    to leaves, to `.grad` that is no view."""
    links = trace.links
    leaves = [links[slot] for slot in state.targets]
    hooks = False
    for leaf in leaves:
        if leaf.__class__ is tuple or (leaf._g is not None and leaf._g._view is not None):
            return False
        hooks = hooks or leaf._hooks
    if hooks and len({*map(id, leaves)}) < len(leaves):  # gradients that are added before the hooks run
        return False
    trace.state = state
    with accumulating:
        if hooks:
            # Emptied, so that what is only added to a buffer is no result of the program.
            waiting = [emit(trace, out) for out in reversed(state.outs or ())]
        for leaf, out in zip(leaves, state.outs or (), strict=True):
            gradient = waiting.pop() if hooks else emit(trace, out)
            if leaf._hooks:
                gradient = own(hooked(leaf._hooks, gradient))
            if leaf._g is None:
                leaf._g = gradient
            else:
                add_to(trace, leaf._g, gradient)
        del gradient
        if not lazy:
            flush(trace)
    return True


def _check(roots: Sequence[Any], cotangents: Sequence[Any]) -> None:
    for root, ct in zip(roots, cotangents, strict=True):
        if not root.requires_grad:
            raise NoGradientError(
                f"backward: this tensor ({root._aval!r}) does not require grad and has no graph. Compute it from a "
                f"tensor "
                f"with requires_grad=True, outside no_grad() and not through detach(). At {user_line()}."
            )
        aval = root._aval
        if ct is None and aval.size != 1:
            raise NonScalarError(
                f"backward: the tensor has shape {aval.shape}, and a gradient belongs to one number. Reduce it first, "
                f"y.sum().backward(), or say how its elements weigh, y.backward(cotangent) with a cotangent of shape "
                f"{aval.shape}. autograd.jacobian(y, x) gives the full matrix. At {user_line()}."
            )
        if ct is not None:
            shape = ct._aval.shape if isinstance(ct, Recorded) else aval_of(ct).shape
            if shape != aval.shape:
                raise NonScalarError(
                    f"backward: the cotangent has shape {shape}, the tensor has shape {aval.shape}; they must agree. "
                    f"At {user_line()}."
                )
