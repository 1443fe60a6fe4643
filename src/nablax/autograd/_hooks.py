"""Hooks on gradients, and gradients of intermediates.

A hook on a leaf runs when its gradient is complete. A hook on an intermediate needs a place where the backward
stops: the recording ends there, so that the tensor becomes an output of a node and what follows a segment of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from ._cut import separate
from ._errors import NoGradientError, ShapeError
from ._node import Node
from ._recorded import Recorded
from ._trace import local
from ._values import as_tensor, is_recorded


class Handle:
    """What register_hook returns: `remove()` takes the hook away."""

    def __init__(self, hooks: list[Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        """Take the hook away."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


def add_hook(tensor: Any, hook: Callable[..., Any]) -> Handle:
    """Call `hook` with every gradient of `tensor`."""
    if not callable(hook):
        raise TypeError(f"register_hook: hook must be a function of the gradient, got {type(hook).__name__}.")
    if not tensor.requires_grad:
        raise NoGradientError("register_hook: this tensor does not require grad, so it gets no gradient.")
    if tensor._r:
        if tensor._hooks is None:
            tensor._hooks = []
        hooks = tensor._hooks
    else:
        separate(tensor)
        node = tensor._n
        node.hooks = node.hooks or {}
        hooks = node.hooks.setdefault(tensor._k, [])
    hooks.append(hook)
    return Handle(hooks, hook)


def keep(tensor: Any) -> None:
    """Have the backward leave the gradient of an intermediate in its `.grad`."""
    if is_recorded(tensor):
        local.trace.keep.append(tensor)
        return
    separate(tensor)
    node = tensor._n
    if isinstance(node, Node):
        node.keep = node.keep or {}
        node.keep.setdefault(tensor._k, []).append(weakref.ref(tensor))


def hooked(hooks: Iterable[Callable[..., Any]] | None, gradient: Any, kind: type) -> Any:
    """The gradient after its hooks, each of which may replace it by one of the same shape.

    Raises:
      ShapeError: a hook returned another shape.
    """
    for hook in hooks or ():
        before = as_tensor(gradient, kind)
        after = hook(before)
        if after is None:
            continue
        after = as_tensor(after if isinstance(after, Recorded | jax.Array) else np.asarray(after), kind)
        if after.shape != before.shape:
            raise ShapeError(
                f"register_hook: a hook must return None or a gradient of shape {before.shape}, got {after.shape}."
            )
        gradient = after if after.dtype == before.dtype else after.astype(before.dtype)
    return gradient
