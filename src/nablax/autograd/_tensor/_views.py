"""Views: `y[0]`, `y.view(-1)`, `y.T`, `p.data` remember what they are a view of.

A value never changes underneath, so a view is an ordinary tensor that remembers its base and the way from there; an
operation in place on it writes the new elements to the base as well (see `_replacing`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import ref

import jax
import jax.numpy as jnp
import numpy as np

from .._path._recorded import Recorded, is_recorded, value_of

Step = Callable[[Any], Any]


class View(NamedTuple):
    """base: weak reference to the tensor at the root.  mark: of the base, when the elements were taken.
    path: the steps from the base to here, on arrays.  index: of the one step, where that is `base[index]`.
    apart: whether the way cuts the gradient.  parent: weak reference to what the last step was taken from, which may
    be a view itself.  last: the index of the last step, None where it is no index.
    """

    base: Any
    mark: Any
    path: tuple[Step, ...]
    index: Any
    apart: bool
    parent: Any
    last: Any


def view(
    base: Any, made: Any, step: Step | None, index: Any = None, apart: bool = False, last: Any = None
) -> Any:
    """Let the tensor `made` be a view of `base`; returns it."""
    last = index if last is None else last
    known = base._view
    if known is not None and known.base() is not None:
        path = known.path if step is None else (*known.path, step)
        made._view = View(known.base, known.mark, path, None, apart or known.apart, ref(base), last)
    else:
        root = ref(base)
        made._view = View(root, base._mark, () if step is None else (step,), index, apart, root, last)
    return made


def at(index: Any) -> Step:
    """The step `x[index]`."""
    return lambda x: x[index]


def seen(base: Any, made: Any, index: Any) -> Any:
    """`made`, which is `base[index]`: a view where it is one in torch, for integers, slices, None and Ellipsis.

    An index that is a tensor without axes is an integer, too, where its value is there.
    """
    if index.__class__ is int:
        return view(base, made, at(index), index)
    parts = [
        value_of(part)
        if isinstance(part, Recorded) and not part.shape and not is_recorded(part) and kind(part.dtype) == 1
        else part
        for part in (index if index.__class__ is tuple else (index,))
    ]
    for part in parts:
        if not (
            part is None
            or part is Ellipsis
            or (isinstance(part, int | slice | np.integer) and not isinstance(part, bool))
            or (isinstance(part, np.ndarray | jax.Array) and not part.shape and kind(part.dtype) == 1)
        ):
            return made
    whole = tuple(parts) if index.__class__ is tuple else parts[0]
    return view(base, made, at(whole), whole, last=index)


def is_current(made: Any, base: Any) -> View | None:
    """The view that `made` is of `base`, with what is now in it."""
    known = getattr(made, "_view", None)
    return known if known is not None and known.base() is base and known.mark is base._mark else None


def has_written(row: Any, index: Any, value: Any) -> bool:
    """Whether `row[index] = value` gives an element back that wrote itself, as in `y[i][index] += 1`."""
    known = getattr(value, "_view", None)
    if known is None or known.last is None or known.last is not index or known.parent() is not row:
        return False
    base = known.base()
    return base is not None and known.mark is base._mark


def kind(dtype: Any) -> int:
    """0 for truth values, 1 for integers, 2 for floating, 3 for complex numbers."""
    kinds = (jnp.integer, jnp.floating, jnp.complexfloating)
    return next((i for i, kind in enumerate(kinds, 1) if jnp.issubdtype(dtype, kind)), 0)
