"""What a recorded value consists of: the class below every Tensor, for the modules that tensors are built from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._aval import Aval
from ._trie import State


class Recorded:
    """The fields of a Tensor. Those in _UNSET read as the value there until they are set.

    _s: state in the open recording, or None.    _v: value; unset while the operation is only recorded.
    _a: aval of the value.                       _r: whether this is a leaf that requires grad.
    _n, _k: node of the graph and output of it.  _g: .grad.
    _hooks: functions of the gradient.           _keep: whether an intermediate keeps its gradient.
    _view: of what it is a view, or None.        _mark: another object after each change in place.
    """

    __slots__ = (
        "__weakref__",
        "_a",
        "_g",
        "_hooks",
        "_k",
        "_keep",
        "_mark",
        "_n",
        "_name",
        "_r",
        "_s",
        "_v",
        "_view",
    )

    _s: State | None
    _v: Any
    _a: Aval
    _r: bool
    _n: Any
    _k: int
    _g: Any
    _hooks: dict | None
    _keep: bool
    _name: str | None
    _view: Any
    _mark: Any

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
    "_view": None,
    "_mark": None,
}


def link_of(tensor: Any) -> Any:
    """Where a tensor's gradient goes: the leaf itself, or (node, output)."""
    if tensor._r:
        return tensor
    return tensor._n if tensor._k < 0 else (tensor._n, tensor._k)
