"""Changes in place: a tensor takes a new value, and what it is a view of takes it, too.

Writing through a view is one more recorded operation on its base. Three things follow, and where torch's meaning cannot
be had the operation raises:

- The base is held weakly: where nobody has it any more, nobody can see the difference.
- A view whose base changed in the meantime holds old elements. It can be read so; before it is written to, it takes
  its elements again, as do views that the writing went through (`row[1] += 1`, where row is a view).
- `detach` and `data` are views, too. What is written through them reaches the value of the base and leaves
  its history.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._gradient._hooks import keep
from .._ground._errors import InPlaceError, ShapeError, user_line
from .._ground._lent import lend
from .._path._record import record, results
from .._path._recorded import Recorded, is_recorded
from .._path._trace import local
from .._segment._flush import flush, realize
from ._grad_mode import no_grad
from ._make import make
from ._views import Step, is_current, kind


def replace(tensor: Any, result: Any, name: str) -> Any:
    """Let `tensor` be `result` from here on.

    Raises:
      InPlaceError: a leaf that requires grad, outside no_grad().
      ShapeError: the result has another shape, or is of a kind (complex, floating, integer) above the tensor's.
    """
    if result is NotImplemented:
        return NotImplemented
    if tensor._view is not None:
        return write(tensor, result, name)
    trace = local.trace
    leaf = tensor._r
    if leaf and not trace.mode and _updated(trace, tensor, result._s, tensor._s):
        return tensor
    if leaf and trace.mode:
        raise InPlaceError(
            f"{name}: a leaf that requires grad cannot change in place where gradients are recorded: the gradient "
            f"would "
            f"belong to the old value. Use `with autograd.no_grad():` for an update, or y = x + ... for a new tensor. "
            f"At {user_line()}."
        )
    now, before = result._aval, tensor._aval
    if now.shape != before.shape:
        raise ShapeError(
            f"{name}: the result has shape {result.shape}, the tensor {tensor.shape}. At {user_line()}."
        )
    if now.dtype != before.dtype:
        if kind(now.dtype) > kind(before.dtype):
            raise ShapeError(
                f"{name}: the result is {result.dtype}, which the tensor's {tensor.dtype} cannot hold. "
                f"At {user_line()}."
            )
        result = result.astype(tensor.dtype)
    tensor._mark = object()
    if not is_recorded(result):  # run at once, under detect_anomaly
        tensor._s, tensor._v, tensor._a = None, result._v, result._a
        tensor._n, tensor._k = (None, 0) if leaf or result._n is None else (result._n, result._k)
        return _kept(tensor)
    state = trace.source(result)
    if leaf:
        state = trace.leaf(state)
        trace.links[state.slot] = tensor
    if not is_recorded(tensor):
        # No call among these three: where one returns, Ctrl-C may strike, and the tensor would have no value any more.
        trace.outs += (tensor,)
        del tensor._v
    tensor._s = state
    return _kept(tensor)


def _updated(trace: Any, leaf: Any, state: Any, old: Any) -> bool:
    """Let a leaf take a value that was just recorded, where nothing is in the way: most updates are such."""
    if state is None or state.trace is not trace or state.step.enters:
        return False
    if state.aval is not (leaf._a if old is None else old.aval):
        return False
    found, mark = trace.leaf(state), object()
    trace.links[found.slot] = leaf
    if old is None or old.step.enters:
        trace.outs += (leaf,)  # no call from here on, as in `replace`
        del leaf._v
    leaf._s, leaf._mark = found, mark
    return True


def _kept(tensor: Any) -> Any:
    """A tensor that keeps its gradient does so at its new place, too."""
    if not tensor._r and tensor._keep and tensor.requires_grad:
        keep(tensor)
    return tensor


def write(made: Any, result: Any, name: str) -> Any:
    """`replace` for a tensor that is a view: its base changes with it."""

    known = made._view
    base = known.base()
    made._view = None
    if base is None:
        return replace(made, result, name)
    positions = None
    try:
        if known.mark is not base._mark:
            raise InPlaceError(
                f"{name}: what this tensor is a view of has changed in place since the view was taken, so it holds old "
                f"elements. Take the view again (y[i], y.view(...), y.data), or use y.clone() for a tensor of its own. "
                f"At {user_line()}."
            )
        if base._r and local.trace.mode and not known.apart:
            raise InPlaceError(
                f"{name}: a view of a leaf that requires grad cannot change in place where gradients are recorded. Use "
                f"`with autograd.no_grad():` for an update, or clone() for a new tensor. At {user_line()}."
            )
        if known.path and known.index is None:
            positions = _positions(known.path, base.shape, name)
        if known.apart:
            with no_grad():
                replace(made, result, name)
        else:
            replace(made, result, name)
        if known.index is not None:
            base[known.index] = made
        else:
            new = made if positions is None else _put(base, made, positions)
            if known.apart:
                put_value(base, new, name)
            else:
                replace(base, new, name)
    finally:
        made._view = known
    made._view = known._replace(mark=base._mark)
    _follow(known.parent(), base, name)
    return made


def _follow(row: Any, base: Any, name: str) -> None:
    """Lets the views between a base and what was written through them take their elements again."""
    while row is not None and row is not base and row._view is not None:
        _take_again(row, base, name)
        row = row._view.parent()


def renew(made: Any, name: str) -> None:
    """Let a view whose base has changed take its elements again, before it is written to."""
    known = made._view
    base = None if known is None else known.base()
    if base is not None and known.mark is not base._mark:
        _take_again(made, base, name)


def _take_again(row: Any, base: Any, name: str) -> None:
    known = row._view

    def build() -> tuple[str, Callable[..., Any]]:
        return "get_view", lambda x, at: x.reshape(-1)[at]

    positions = _positions(known.path, base.shape, name)
    row._view = None
    try:
        with no_grad() if known.apart else contextlib.nullcontext():
            replace(row, results(local.trace, record("get_view", build, (base, positions))), name)
    finally:
        row._view = known._replace(mark=base._mark)


def put_value(base: Any, new: Any, name: str) -> None:
    """Give a tensor a new value of the same shape; its history and its flag stay."""

    if base._r or not base.requires_grad:
        with no_grad():
            replace(base, new, name)
        return
    state = record("put_value", lambda: ("put_value", _straight), (base, new))
    replace(base, results(local.trace, state), name)


@jax.custom_jvp
def _straight(old: jax.Array, new: jax.Array) -> jax.Array:
    """The new value, with the old one's derivative."""
    return jnp.asarray(new, old.dtype)


@_straight.defjvp
def _straight_jvp(primals: Any, tangents: Any) -> Any:
    return _straight(*primals), tangents[0]


def _positions(path: tuple[Step, ...], shape: tuple[int, ...], name: str) -> np.ndarray:
    """Where in the base, counted flat, each element of the view lies."""
    found: Any = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    for step in path:
        found = step(found)
    found = np.asarray(found)
    if np.unique(found).size != found.size:
        raise InPlaceError(
            f"{name}: elements of this view lie in one place (expand); clone() it first. At {user_line()}."
        )
    return found


def _put(base: Any, value: Any, positions: np.ndarray) -> Any:
    def build() -> tuple[str, Callable[..., Any]]:
        return "put_view", lambda x, v, at: x.reshape(-1).at[at].set(v.astype(x.dtype)).reshape(x.shape)

    return results(local.trace, record("put_view", build, (base, value, positions)))


def swap(tensor: Any, value: Any) -> None:
    """`tensor.data = value`: another value, which may be of another shape where the tensor is a leaf."""

    known = is_current(value, tensor)
    if known is not None and not known.path:  # p.data += 1 writes, and then gives p.data what it is
        return
    new = value.detach() if isinstance(value, Recorded) else make(value)  # type: ignore[attr-defined]
    if new.shape == tensor.shape and new.dtype == tensor.dtype:
        put_value(tensor, new, "x.data = v")
        return
    if tensor.requires_grad and not tensor._r:
        raise InPlaceError(
            f"x.data = v: the shape and dtype of a computed tensor stay what they are, "
            f"{tensor.dtype}{list(tensor.shape)}, got {new.dtype}{list(new.shape)}. At {user_line()}."
        )
    found = realize(new)
    if tensor._s is not None or is_recorded(tensor):
        flush(local.trace)
    found = lend(found) if isinstance(found, jax.Array) else np.array(found)
    tensor._v, tensor._a, tensor._n = found, new._aval, None
    tensor._mark = object()
