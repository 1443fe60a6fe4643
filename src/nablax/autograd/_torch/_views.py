"""Views: writing in place to `y[0]`, `y.view(-1)`, `y.T`, `p.data` writes to what it is a view of.

A value never changes underneath (see _inplace.py), so a view is an ordinary tensor that remembers its base
and the way from there. An operation in place on it writes the new elements to the base as well, as one more
recorded operation. Three things follow, and where torch's meaning cannot be had the operation raises:

- The base is held weakly: where nobody has it any more, nobody can see the difference.
- A view whose base changed in the meantime holds old elements. It can be read; writing to it raises.
- `detach` and `data` are views, too. What is written through them reaches the value of the base and leaves
  its history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import ref

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InPlaceError, user_line
from .._lent import lend
from .._record import record, results
from .._segment import flush, realize
from .._trace import local

Step = Callable[[Any], Any]


class View(NamedTuple):
    """base: weak reference to the tensor at the root.  mark: of the base, when the elements were taken.
    path: the steps from the base to here, on arrays.  index: of the one step, where that is `base[index]`.
    apart: whether the way cuts the gradient.
    """

    base: Any
    mark: Any
    path: tuple[Step, ...]
    index: Any
    apart: bool


def view(base: Any, made: Any, step: Step | None, index: Any = None, apart: bool = False) -> Any:
    """Let the tensor `made` be a view of `base`; returns it."""
    known = base._view
    if known is not None and known.base() is not None:
        path = known.path if step is None else (*known.path, step)
        made._view = View(known.base, known.mark, path, None, apart or known.apart)
    else:
        made._view = View(ref(base), base._mark, () if step is None else (step,), index, apart)
    return made


def at(index: Any) -> Step:
    """The step `x[index]`."""
    return lambda x: x[index]


def is_view(index: Any) -> bool:
    """Whether `x[index]` is a view in torch: integers, slices, None and Ellipsis."""
    parts = index if index.__class__ is tuple else (index,)
    return all(
        part is None
        or part is Ellipsis
        or (isinstance(part, int | slice | np.integer) and not isinstance(part, bool))
        for part in parts
    )


def is_current(made: Any, base: Any) -> View | None:
    """The view that `made` is of `base`, with what is now in it."""
    known = getattr(made, "_view", None)
    return known if known is not None and known.base() is base and known.mark is base._mark else None


def write(made: Any, result: Any, name: str) -> Any:
    """`replace` for a tensor that is a view: its base changes with it."""
    from .._inplace import replace
    from .._modes import no_grad

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
    return made


def put_value(base: Any, new: Any, name: str) -> None:
    """Give a tensor a new value of the same shape; its history and its flag stay."""
    from .._inplace import replace
    from .._modes import no_grad

    if base._r or not base.requires_grad:
        with no_grad():
            replace(base, new, name)
        return
    state = record("put_value", lambda: ("put_value", _straight), (base, new))
    replace(base, results(local.trace, state, type(base)), name)


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

    return results(local.trace, record("put_view", build, (base, value, positions)), type(base))


def swap(tensor: Any, value: Any) -> None:
    """`tensor.data = value`: another value, which may be of another shape where the tensor is a leaf."""
    from .._tensor import Tensor
    from .._tensor import tensor as make
    from .._values import is_recorded

    known = is_current(value, tensor)
    if known is not None and not known.path:  # p.data += 1 writes, and then gives p.data what it is
        return
    new = value.detach() if isinstance(value, Tensor) else make(value)
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
    found = lend(found) if isinstance(found, jax.Array) else jnp.asarray(np.array(found))
    tensor._v, tensor._a, tensor._n = found, new._aval, None
    tensor._mark = object()
