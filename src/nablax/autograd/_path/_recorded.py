"""What a recorded value consists of: the class below every Tensor, for the modules that tensors are built from.

Tensor is built on all of them, so it cannot be imported by those that make tensors: it registers here (`use`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._ground._aval import WIDE, Aval, inside
from .._ground._errors import FailedError
from ._trie import State

new = object.__new__
OVER = "the transformation of JAX that it was recorded in is over"


class Recorded:
    """The fields of a Tensor. A new one has _s, _r and _n; _v, _a and _k come with its value.

    _s: state in the open recording, or None.    _v: value; unset while the operation is only recorded.
    _a: aval of the value.                       _r: whether this is a leaf that requires grad.
    _n, _k: node of the graph and output of it.  _g: .grad.
    _hooks: functions of the gradient.           _keep: whether an intermediate keeps its gradient.
    _view: of what it is a view, or None.        _mark: another object after each change in place.
    """

    __slots__ = ("__dict__", "__weakref__", "_a", "_k", "_n", "_r", "_s", "_v")

    _s: State | None
    _v: Any
    _a: Aval
    _r: bool
    _n: Any
    _k: int
    _g: Any = None
    _hooks: Any = None
    _keep: Any = False
    _name: Any = None
    _view: Any = None
    _mark: Any = None

    if TYPE_CHECKING:  # what Tensor has, for the modules that only know this class
        shape: Any
        dtype: Any
        size: Any
        requires_grad: Any
        value: Any
        _aval: Any


def value_of(tensor: Any) -> Any:
    """The value of a tensor that is not recorded; raises FailedError where its operation failed."""
    try:
        return tensor._v
    except AttributeError:
        raise FailedError(f"this tensor has no value: {getattr(tensor._n, 'why', OVER)}.") from None


_KIND: Any = Recorded  # the class of results: Tensor, once it is defined


def use(kind: type) -> None:
    """Name the class of results."""
    global _KIND
    _KIND = kind


def blank() -> Any:
    """A tensor whose fields are to be set."""
    return _KIND()


def as_tensor(value: Any, aval: Aval | None = None) -> Any:
    """A tensor without gradient for an array; tensors as they are. aval: what an array of NumPy's may have for its own,
    if it fits."""
    if isinstance(value, Recorded):
        return value
    tensor: Any = _KIND()
    tensor._s = None
    tensor._v = value
    fits = (
        aval is not None
        and value.__class__ is np.ndarray
        and value.dtype is aval.dtype
        and value.shape == aval.shape
        and not aval.weak
    )
    tensor._a = aval if fits else inside(value)
    tensor._n = None
    tensor._r = False
    return tensor


def is_recorded(tensor: Any) -> bool:
    """Whether a tensor has no value yet."""
    state = tensor._s
    return state is not None and not state.step.enters


def is_wide(value: Any) -> bool:
    """Whether a tensor or an array of JAX's has elements of 64 bits."""
    aval = value._aval if isinstance(value, Recorded) else getattr(value, "aval", None)
    return aval is not None and aval.dtype in WIDE


def link_of(tensor: Any) -> Any:
    """Where a tensor's gradient goes: the leaf itself, or (node, output)."""
    if tensor._r:
        return tensor
    return tensor._n if tensor._k < 0 else (tensor._n, tensor._k)
