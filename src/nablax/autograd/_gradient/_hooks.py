"""Hooks on gradients, and gradients of intermediates.

A hook on a leaf runs when its gradient is complete. An intermediate is a slot of the open recording, or of the node
that its recording became; whoever wants to know its gradient is noted there, and a backward that comes by stops at that
slot (see _walk.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._ground._errors import NoGradientError, ShapeError
from .._ground._lent import lend
from .._path._recorded import Recorded, as_tensor, is_recorded
from .._path._trace import local
from .._segment._flush import realize
from .._segment._node import Node, Watch


class Handle:
    """What register_hook returns: `remove()` takes the hook away."""

    def __init__(self, hooks: dict[Any, Callable[..., Any]]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away."""
        self._hooks.pop(self, None)


def add_hook(tensor: Any, hook: Callable[..., Any]) -> Handle:
    """Call `hook` with every gradient of `tensor`."""
    if not callable(hook):
        raise TypeError(f"register_hook: hook must be a function of the gradient, got {type(hook).__name__}.")
    if not tensor.requires_grad:
        raise NoGradientError("register_hook: this tensor does not require grad, so it gets no gradient.")
    if not tensor._r:
        hooks = _watch(tensor).hooks
    else:
        if tensor._hooks is None:
            tensor._hooks = {}
        hooks = tensor._hooks
    handle = Handle(hooks)
    hooks[handle] = hook
    return handle


def keep(tensor: Any) -> None:
    """Have the backward leave the gradient of an intermediate in its `.grad`."""
    _watch(tensor).keep.append(weakref.ref(tensor))


def hooked(hooks: dict[Any, Callable[..., Any]] | None, gradient: Any) -> Any:
    """The gradient after its hooks, each of which may replace it by one of the same shape.

    Raises:
      ShapeError: a hook returned another shape.
    """
    for hook in list(hooks.values()) if hooks else ():
        before = as_tensor(gradient)
        after = hook(before)
        if after is None:
            continue
        if not isinstance(after, Recorded):
            after = as_tensor(lend(after) if isinstance(after, jax.Array) else np.array(after))
        if after.shape != before.shape:
            raise ShapeError(
                f"register_hook: a hook must return None or a gradient of shape {before.shape}, got {after.shape}."
            )
        gradient = after if after.dtype == before.dtype else after.astype(before.dtype)
    return gradient


def _watch(tensor: Any) -> Watch:
    """Who wants to know the gradient of an intermediate, to be added to."""
    if is_recorded(tensor) and tensor._s.trace is local.trace:
        return local.trace.watched.setdefault(tensor._s.slot, Watch())
    realize(tensor)
    node = tensor._n
    if not isinstance(node, Node):
        return Watch()  # its graph is gone
    if node.watched is None:
        node.watched = {}
    return node.watched.setdefault(node.program.roots[tensor._k], Watch())
