"""Indexing: slices, integers, integer and boolean arrays, tensors, None and Ellipsis; reading and writing.

Integers are baked into the program until they take too many values, like any Python number. A boolean mask has a shape
that depends on its values, so the mask is read; gradients flow through what it selects. Slices of concrete tensors
without gradient are taken at once: a batch `X[i:i + B]` never enters a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from .._ground._aval import intern
from .._ground._lent import lend
from .._ground._narrow import too_large
from .._ground._quiet import quietly
from .._operation._written import Sized, by, by_size
from .._operation._written._picking import picked, taken
from .._path._record import record, results
from .._path._recorded import Recorded, as_tensor, is_recorded, value_of
from .._path._trace import local
from ._parts import HOLE, Start, filled, inside, part_key, parts_of, settled, taken_from
from ._replacing import renew, replace
from ._told import remember, told
from ._views import has_written, kind, seen

_GETITEM = object()
_PLAIN = {int, slice, type(None), type(Ellipsis)}
MOST_ARRAYS = 4  # in an index, of those that are looked up at once
_KEYS = [("getitem", *[HOLE] * n) for n in range(MOST_ARRAYS + 1)]
_START = intern((), np.dtype(np.int32), False), False  # how the place enters of an integer that varies


class Indexing:
    """`x[i]`, `x[i] = v`, iteration."""

    __slots__ = ()

    def __getitem__(self: Any, index: Any) -> Any:
        trace = local.trace
        kind = index.__class__
        here = self._s
        known: Any = None
        before: Any = None
        edges = 0
        if (kind in _PLAIN or (kind is tuple and _PLAIN.issuperset([part.__class__ for part in index]))) and (
            self._r or self._n is not None if here is None else here.trace is trace
        ):
            known = told(trace, _GETITEM, (self, index), {})
            before = trace.state
            state = before.edges.get(known)
            if state is not None:
                trace.state = state
                return seen(self, results(trace, state), index)
            edges = len(before.edges)
            if kind is int and known is not None:
                state = _varied(trace, before, known[1], index)
                if state is not None:
                    return seen(self, results(trace, state), index)
        elif (
            (kind is tuple or kind is np.ndarray or isinstance(index, Recorded))
            and (self._r or self._n is not None or (here is not None and not here.step.enters))
            and _lie_inside(arrays := index if kind is tuple else (index,), self._aval.shape)
        ):
            n = len(arrays)
            return results(trace, record(_KEYS[n], _BUILDS[n], (self, *arrays)))
        elif kind is tuple and (turns := _in_turn(index)):
            return self[turns[0]][turns[1]]
        if not self.requires_grad and not is_recorded(self) and _basic(index):
            try:
                value = _at_once(value_of(self), index)
            except IndexError:  # which is answered below
                value = None
            if value is not None:
                made = as_tensor(value)
                return seen(self, made, index)
        shape = self.shape
        parts, arrays = parts_of(index, shape)
        starts = [np.asarray(part.start, np.int32) for part in parts if isinstance(part, Start)]
        if starts and (arrays or any(isinstance(part, bool) for part in parts)):
            parts, arrays = settled(parts, arrays)
            starts = []

        def build() -> tuple[str, Callable[..., Any]]:
            if starts:
                return "getitem", by_size(_sized(parts), lambda x, *at: taken_from(x, parts, at))
            return "getitem", by(
                lambda w, x, *holes: picked(w, x, filled(parts, holes)),
                lambda x, *holes: x[filled(parts, holes)],
            )

        key = ("getitem", *map(part_key, parts))
        made = results(trace, record(key, build, (self, *arrays, *starts)))
        if before is not None:
            remember(trace, before, edges, known)
            if kind is int and starts and known is not None:
                before.note((_GETITEM, known[1]), [key])
        return made if any(a.shape for a in arrays) else seen(self, made, index)

    def __setitem__(self: Any, index: Any, value: Any) -> None:
        if has_written(self, index, value):
            return
        if index.__class__ is tuple and (turns := _in_turn(index)):
            self[turns[0]][turns[1]] = value
            return
        if self._r and local.trace.mode:
            replace(self, None, "x[i] = v")
        if self._view is not None:
            renew(self, "x[i] = v")
        parts, arrays = settled(*parts_of(index, self.shape))
        replace(self, _written(self, "set", parts, arrays, value), "x[i] = v")

    @property
    def at(self) -> At:
        """Functional updates, as on JAX's arrays: `x.at[i].add(v)` is a new tensor."""
        return At(self)

    def __iter__(self: Any) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a tensor without axes")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self: Any, value: Any) -> bool:
        found: Any = self == value
        return bool(found.any() if hasattr(found, "any") else found)


class At:
    """`x.at`, and with an index `x.at[i]`."""

    __slots__ = ("_index", "_tensor")

    def __init__(self, tensor: Any, index: Any = None) -> None:
        self._tensor = tensor
        self._index = index

    def __getitem__(self, index: Any) -> At:
        return At(self._tensor, index)

    def get(self) -> Any:
        """`x[i]`."""
        return self._tensor[self._index]

    def __getattr__(self, how: str) -> Callable[[Any], Any]:
        if how not in ("set", "add", "subtract", "multiply", "divide", "power", "min", "max"):
            raise AttributeError(f"x.at[i] has no '{how}'")
        return lambda value: _written(
            self._tensor, how, *settled(*parts_of(self._index, self._tensor.shape)), value
        )


def _sized(parts: list[Any]) -> Sized:
    """The lengths of slices, which are sizes."""

    def with_lengths(lengths: Iterable[int]) -> list[Any]:
        entering = iter(lengths)
        return [p._replace(length=next(entering)) if isinstance(p, Start) else p for p in parts]

    def rule(lengths: tuple[int, ...]) -> Callable[..., Any]:
        others = with_lengths(lengths)
        return lambda w, x, *at: taken(w, x, others, at)

    lengths = tuple([p.length for p in parts if isinstance(p, Start)])
    return Sized(("getitem", *map(part_key, with_lengths([0] * len(lengths)))), lengths, rule)


def _written(tensor: Any, how: str, parts: list[Any], arrays: list[Any], value: Any) -> Any:
    """A tensor with `value` set at, added to, ... the indexed elements."""
    if not isinstance(value, Recorded | jax.Array):
        kind = tensor.dtype if isinstance(value, bool | int | float | complex) else None
        try:
            value = quietly(np.asarray, value, kind)
        except OverflowError:
            raise too_large("x[i] = v", value, kind) from None

    def build() -> tuple[str, Callable[..., Any]]:
        return f"{how}item", lambda x, v, *holes: getattr(x.at[filled(parts, holes)], how)(v.astype(x.dtype))

    key = (f"{how}item", *map(part_key, parts))
    return results(local.trace, record(key, build, (tensor, value, *arrays)))


def _varied(trace: Any, before: Any, here: Any, index: int) -> Any:
    """The state after `x[index]`, x being in the state `here`, where integers were found to vary; None where this is
    new."""
    found = before.literals.get((_GETITEM, here))
    if found is None:
        return None
    length = here.aval.shape[0]
    if not -length <= index < length:
        return None
    start = before.edges.get(_START)
    state = None if start is None else start.edges.get((found[0], here, start))
    if state is not None:
        trace.values.append(np.asarray(index % length, np.int32))
        trace.inputs.append(None)
        trace.state = state
    return state


def _lie_inside(arrays: tuple, shape: tuple[int, ...]) -> bool:
    """Whether an index consists of arrays of integers, all of them plain places on the first axes."""
    if not 0 < len(arrays) <= min(len(shape), MOST_ARRAYS):
        return False
    for part, length in zip(arrays, shape, strict=False):
        if isinstance(part, Recorded) and not is_recorded(part):
            part = value_of(part)
        if part.__class__ is not np.ndarray or part.dtype.kind not in "iu":
            return False
        if not part.shape or not part.size or not inside(part, length):
            return False
    return True


def _taking(n: int) -> Callable[[], tuple[str, Callable[..., Any]]]:
    """Builds `x[i, j, ...]` of n arrays."""
    return lambda: ("getitem", by(lambda w, x, *at: picked(w, x, at), lambda x, *at: x[at]))


_BUILDS = [_taking(n) for n in range(MOST_ARRAYS + 1)]


def _in_turn(index: tuple) -> tuple[tuple, tuple] | None:
    """An index whose integers come first, as in torch, and the arrays after them; None where this is NumPy's result.

    Where something stands between an integer and the arrays, NumPy counts it as one of them, by which their axis moves
    to the front: `x[0, :, [1, 2]]`.
    """
    kinds = "".join(map(_kind, index))
    if "i" not in kinds or "-" not in kinds.strip("-") or "-" in (rest := kinds.replace("i", "")).strip("-"):
        return None
    if "a" not in rest:
        return None
    first: list[Any] = []
    then: list[Any] = []
    for part, each in zip(index, kinds, strict=True):
        mask = getattr(part, "ndim", 1) if getattr(part, "dtype", None) == np.bool_ else 1
        first += [slice(None)] * mask if each == "a" else [part]
        if each != "i":
            then.append(part if each == "a" or part is Ellipsis else slice(None))
    return tuple(first), tuple(then)


def _kind(part: Any) -> str:
    """`i` for an integer, `a` for an array, `-` for what stands between them."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return "-"
    if isinstance(part, int | np.integer) and not isinstance(part, bool):
        return "i"
    return "i" if getattr(part, "shape", None) == () and kind(part.dtype) == 1 else "a"


def _basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        isinstance(p, int | slice | np.integer | np.ndarray | list) or p is None or p is Ellipsis
        for p in parts
    )


def _at_once(value: Any, index: Any) -> Any:
    """The slice itself, as a view where NumPy can see the buffer; None where that would move data between devices."""
    if isinstance(value, jax.Array):
        if isinstance(value, jax.core.Tracer) or jax.numpy.issubdtype(value.dtype, jax.dtypes.extended):
            return None
        if any(device.platform != "cpu" for device in value.devices()):
            return None
        value = np.asarray(lend(value))
    return np.asarray(value[index])
