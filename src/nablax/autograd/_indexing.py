"""Indexing: slices, integers, integer and boolean arrays, tensors, None and Ellipsis; reading and writing.

Integers are baked into the program until they take too many values, like any Python number. A boolean mask has a shape
that depends on its values, so the mask is read; gradients flow through what it selects. Slices of concrete tensors
without gradient are taken at once: a batch `X[i:i + B]` never enters a key.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._inplace import replace
from ._lent import lend
from ._lift import static_key
from ._record import record, results
from ._recorded import Recorded
from ._segment import realize
from ._sites import varies
from ._torch._views import at, is_current, is_view, view
from ._trace import local
from ._values import as_tensor, is_recorded


class _Hole:
    """Stands for an index that is an array."""


class Start(NamedTuple):
    """Stands for an integer, or for a slice of a constant length, whose place varies."""

    start: int
    length: int
    drop: bool  # the axis: an integer index does


HOLE = _Hole()


class Indexing:
    """`x[i]`, `x[i] = v`, iteration."""

    __slots__ = ()

    def __getitem__(self: Any, index: Any) -> Any:
        if not self.requires_grad and not is_recorded(self) and _basic(index):
            value = _at_once(self._v, index)
            if value is not None:
                made = as_tensor(value, _kind())
                return view(self, made, at(index), index) if is_view(index) else made
        shape = self.shape
        parts, arrays = _parts(index, shape)
        starts = [np.asarray(part.start, np.int32) for part in parts if isinstance(part, Start)]
        if starts and (arrays or any(isinstance(part, bool) for part in parts)):
            parts, arrays = _settled(parts, arrays)
            starts = []

        def build() -> tuple[str, Callable[..., Any]]:
            if starts:
                return "getitem", lambda x, *at: _from(x, parts, at)
            return "getitem", lambda x, *holes: x[_filled(parts, holes)]

        key = ("getitem", *map(_part_key, parts))
        made = results(local.trace, record(key, build, (self, *arrays, *starts)), _kind())
        return view(self, made, at(index), index) if is_view(index) else made

    def __setitem__(self: Any, index: Any, value: Any) -> None:
        known = is_current(value, self)
        if known is not None and known.index is index and known.index is not None:
            return  # y[i] += 1 has written already, and now gives y[i] what it is
        if self._r and local.trace.mode:
            replace(self, None, "x[i] = v")
        parts, arrays = _settled(*_parts(index, self.shape))
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
        return bool((self == value).any())


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
            self._tensor, how, *_settled(*_parts(self._index, self._tensor.shape)), value
        )


def _written(tensor: Any, how: str, parts: list[Any], arrays: list[Any], value: Any) -> Any:
    """A tensor with `value` set at, added to, ... the indexed elements."""
    if not isinstance(value, Recorded | jax.Array):
        value = np.asarray(value, tensor.dtype if isinstance(value, bool | int | float | complex) else None)

    def build() -> tuple[str, Callable[..., Any]]:
        return f"{how}item", lambda x, v, *holes: getattr(x.at[_filled(parts, holes)], how)(v.astype(x.dtype))

    key = (f"{how}item", *map(_part_key, parts))
    return results(local.trace, record(key, build, (tensor, value, *arrays)), _kind())


def _kind() -> Any:
    from ._tensor import Tensor

    return Tensor


def _basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        isinstance(p, int | slice | np.integer | np.ndarray | list) or p is None or p is Ellipsis
        for p in parts
    )


def _at_once(value: Any, index: Any) -> Any:
    """The slice itself, as a view where NumPy can see the buffer; None where that would move data between devices."""
    if isinstance(value, jax.Array):
        if isinstance(value, jax.core.Tracer) or jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
            return None
        if any(device.platform != "cpu" for device in value.devices()):
            return None
        value = np.asarray(lend(value))
    return value[index]


def _parts(index: Any, shape: tuple[int, ...]) -> tuple[list[Any], list[Any]]:
    """Static parts, with HOLE for each array, and the arrays. Raises IndexError where NumPy would."""
    given = list(index) if isinstance(index, tuple) else [index]
    parts: list[Any] = []
    arrays: list[Any] = []
    consumed = sum(_axes(p) for p in given if p is not None and p is not Ellipsis)
    if consumed > len(shape):
        raise IndexError(f"too many indices: the tensor has {len(shape)} axes, {consumed} were indexed")
    axis = 0
    for part in given:
        if part is None or part is Ellipsis or isinstance(part, slice):
            if isinstance(part, slice):
                part = slice(
                    *(None if v is None else operator.index(v) for v in (part.start, part.stop, part.step))
                )
                start, stop, step = part.indices(shape[axis])
                if step == 1 and 0 < stop - start < shape[axis] and varies((axis, len(parts)), (start, stop)):
                    part = Start(start, stop - start, False)
            parts.append(part)
            axis += len(shape) - consumed if part is Ellipsis else 0 if part is None else 1
            continue
        if isinstance(part, bool | np.bool_):
            parts.append(bool(part))
            continue
        if isinstance(part, int | np.integer):
            length = shape[axis]
            if not -length <= part < length:
                raise IndexError(f"index {part} is out of bounds for axis {axis} of length {length}")
            part = int(part) % length
            parts.append(Start(part, 1, True) if varies((axis, len(parts)), part) else part)
            axis += 1
            continue
        if not isinstance(part, Recorded | jax.Array):
            part = np.asarray(part)
        if part.dtype == np.bool_:
            mask = np.asarray(realize(part) if isinstance(part, Recorded) else part)
            if not mask.ndim:
                parts.append(bool(mask))
                continue
            if mask.shape != shape[axis : axis + mask.ndim]:
                raise IndexError(
                    f"a mask of shape {mask.shape} does not fit axes {shape[axis : axis + mask.ndim]}"
                )
            for where in np.nonzero(mask):
                parts.append(HOLE)
                arrays.append(where.astype(np.int32))
            axis += mask.ndim
            continue
        if not np.issubdtype(part.dtype, np.integer):
            raise IndexError(f"indices must be integers, booleans or slices, got an array of {part.dtype}")
        known = _known(part)
        if (
            known is not None
            and known.size
            and not (-shape[axis] <= known.min() and known.max() < shape[axis])
        ):
            raise IndexError(f"an index is out of bounds for axis {axis} of length {shape[axis]}")
        parts.append(HOLE)
        arrays.append(part)
        axis += 1
    return parts, arrays


def _known(part: Any) -> np.ndarray | None:
    """The elements of an index where they can be seen without waiting; others JAX clips to the axis."""
    if isinstance(part, Recorded):
        if is_recorded(part):
            return None
        part = part._v
    if isinstance(part, np.ndarray | np.generic):
        return np.asarray(part)
    if (
        isinstance(part, jax.core.Tracer)
        or any(d.platform != "cpu" for d in part.devices())
        or not part.is_ready()
    ):
        return None
    return np.asarray(part)


def _axes(part: Any) -> int:
    if isinstance(part, bool | np.bool_):
        return 0
    if isinstance(part, list):
        part = np.asarray(part)
    return part.ndim if getattr(part, "dtype", None) == np.bool_ else 1


def _filled(parts: list[Any], holes: Any) -> tuple:
    entering = iter(holes)
    return tuple(next(entering) if p is HOLE else p for p in parts)


def _part_key(part: Any) -> Any:
    if part.__class__ is Start:
        return (Start, part.length, part.drop)
    return HOLE if part is HOLE else static_key(part)


def _settled(parts: list[Any], arrays: list[Any]) -> tuple[list[Any], list[Any]]:
    """Varying integers as arrays, for general indexing; varying slices as they are."""
    entering = iter(arrays)
    found: list[Any] = []
    filled: list[Any] = []
    for part in parts:
        if part.__class__ is Start:
            filled.append(HOLE if part.drop else slice(part.start, part.start + part.length))
            if part.drop:
                found.append(np.asarray(part.start, np.int32))
            continue
        filled.append(part)
        if part is HOLE:
            found.append(next(entering))
    return filled, found


def _from(x: Any, parts: list[Any], starts: Any) -> Any:
    """Basic indexing, where integers and slices that vary start at `starts`."""
    first: list[Any] = []
    last: list[Any] = []
    at: list[Any] = []
    sizes: list[int] = []
    entering = iter(starts)
    rest = jnp.ndim(x) - sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis not in parts:
        parts = [*parts, Ellipsis]
    axis = 0
    for part in parts:
        if part is None:
            last.append(None)
        elif part is Ellipsis:
            first += [slice(None)] * rest
            last += [slice(None)] * rest
            at += [0] * rest
            sizes += jnp.shape(x)[axis : axis + rest]
            axis += rest
        elif part.__class__ is Start:
            first.append(slice(None))
            last.append(0 if part.drop else slice(None))
            at.append(next(entering))
            sizes.append(part.length)
            axis += 1
        elif isinstance(part, slice):
            first.append(part)
            last.append(slice(None))
            at.append(0)
            sizes.append(len(range(*part.indices(jnp.shape(x)[axis]))))
            axis += 1
        else:
            first.append(slice(part, part + 1))
            last.append(0)
            at.append(0)
            sizes.append(1)
            axis += 1
    x = x[tuple(first)]
    found = jax.lax.dynamic_slice(
        x, [jnp.asarray(i, jnp.int32) for i in at], sizes, allow_negative_indices=False
    )
    return found[tuple(last)]
