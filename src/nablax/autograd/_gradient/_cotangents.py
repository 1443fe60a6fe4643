"""Tensors and values: which tensors have one, and how to make a tensor of one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._aval import aval_of
from .._path._record import new
from .._path._recorded import Recorded
from .._path._trie import Input

_ones: dict[Any, Any] = {}


def is_recorded(tensor: Any) -> bool:
    """Whether a tensor has no value yet."""
    state = tensor._s
    return state is not None and state.step.__class__ is not Input


def as_tensor(value: Any, kind: type) -> Any:
    """A tensor without gradient for an array; tensors as they are."""
    if isinstance(value, Recorded):
        return value
    tensor: Any = new(kind)
    tensor._s = None
    tensor._v = value
    tensor._a = aval_of(value)
    tensor._n = None
    tensor._r = False
    return tensor


def own(value: Any, kind: type) -> Any:
    """A tensor that nobody else holds, with a value that somebody else may hold."""
    if not isinstance(value, Recorded):
        return as_tensor(value.copy() if isinstance(value, np.ndarray) else value, kind)
    if is_recorded(value):
        return value.clone()  # type: ignore[attr-defined]
    made = as_tensor(value._v, kind)
    if value._r:
        made._n, made._k = value, -1
    elif value._n is not None:
        made._n, made._k = value._n, value._k
    return made


def shadows(node: Any, kind: type) -> list[Any]:
    """Tensors for the inputs of a node, as they were, with their place in the graph."""
    links = dict(zip(node.program.targets, node.links, strict=True))
    found = []
    for slot, value in zip(node.program.inputs, node.values, strict=True):
        link = links.get(slot)
        if isinstance(link, Recorded) and not is_recorded(link) and link._v is value:
            found.append(link)
            continue
        shadow = as_tensor(value, kind)
        if link is not None:
            shadow._n, shadow._k = link if isinstance(link, tuple) else (link, -1)
        found.append(shadow)
    return found


def one(aval: Any) -> Any:
    """The cotangent 1; kept, for making an array takes longer than a backward through a small segment."""
    found = _ones.get(aval)
    if found is None:
        found = jnp.ones(aval.shape, aval.dtype)
        if isinstance(found, jax.core.Tracer):  # inside somebody's jit
            return found
        _ones[aval] = found
    return found
