"""Indices taken apart: what is static, what varies and so is an input, and what is an array."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._errors import RangeError, user_line
from .._ground._sites import varies
from .._path._recorded import Recorded, is_recorded, value_of
from .._segment._flush import realize
from ._frozen import static_key


class _Hole:
    """Stands for an index that is an array."""


class Start(NamedTuple):
    """Stands for an integer, or for a slice of a constant length, whose place varies."""

    start: int
    length: int
    drop: bool  # the axis: an integer index does


HOLE = _Hole()
_UNSIGNED = {np.dtype(f"i{n}"): np.dtype(f"u{n}") for n in (1, 2, 4, 8)}


def parts_of(index: Any, shape: tuple[int, ...]) -> tuple[list[Any], list[Any]]:
    """Static parts, with HOLE for each array, and the arrays. Raises IndexError where NumPy would."""
    given = list(index) if isinstance(index, tuple) else [index]
    parts: list[Any] = []
    arrays: list[Any] = []
    consumed = sum([_axes(p) for p in given if p is not None and p is not Ellipsis])
    if consumed > len(shape):
        raise RangeError(
            f"x[i]: there are {len(shape)} axes, and {consumed} of them were indexed. At {user_line()}."
        )
    axis = 0
    for part in given:
        if part.__class__ is np.ndarray and part.dtype.kind in "iu":
            parts.append(_hole(part, axis, shape[axis]))
            arrays.append(part)
            axis += 1
            continue
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
                raise _beyond(axis, length, part)
            part = int(part) % length
            parts.append(Start(part, 1, True) if varies((axis, len(parts)), part) else part)
            axis += 1
            continue
        if part.__class__ is not np.ndarray and not isinstance(part, (Recorded, jax.Array)):
            part = np.asarray(part)
        kind = part.dtype.kind
        if kind == "b":
            mask = np.asarray(realize(part) if isinstance(part, Recorded) else part)
            if not mask.ndim:
                parts.append(bool(mask))
                continue
            if mask.shape != shape[axis : axis + mask.ndim]:
                raise RangeError(
                    f"x[mask]: the mask must be of shape {shape[axis : axis + mask.ndim]}, got {mask.shape}. "
                    f"At {user_line()}."
                )
            for where in np.nonzero(mask):
                parts.append(HOLE)
                arrays.append(where.astype(np.int32))
            axis += mask.ndim
            continue
        if kind not in "iu" and not np.issubdtype(part.dtype, np.integer):
            raise RangeError(
                f"x[i]: i must hold integers, booleans or slices, got an array of {part.dtype}. At {user_line()}."
            )
        parts.append(_hole(known(part), axis, shape[axis]))
        arrays.append(part)
        axis += 1
    return parts, arrays


def _hole(at: np.ndarray | None, axis: int, length: int) -> _Hole:
    """That of an array of integers, whose elements lie within the axis as far as they are known."""
    if at is not None and at.size and not inside(at, length):
        wrong = at[(at < -length) | (at >= length)]
        if wrong.size:
            raise _beyond(axis, length, wrong.flat[0])
    return HOLE


def _beyond(axis: int, length: int, index: Any) -> RangeError:
    return RangeError(
        f"x[i]: the index of axis {axis} must lie in {-length} to {length - 1}, got {index}. At {user_line()}."
    )


def inside(indices: np.ndarray, size: int) -> bool:
    """Whether all of some integers surely lie in 0 to size - 1; False where that is not seen at once."""
    kind = indices.dtype
    if kind not in _UNSIGNED and kind.kind != "u":  # of another order of bytes
        return False
    plain = indices.view(_UNSIGNED.get(kind, kind))  # a negative number is a large one without a sign
    return plain.item(plain.argmax()) < size


def known(part: Any) -> np.ndarray | None:
    """The elements of an index where they can be seen without waiting; others JAX clips to the axis."""
    if isinstance(part, Recorded):
        if is_recorded(part):
            return None
        part = value_of(part)
    if part.__class__ is np.ndarray:
        return part
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
    if part.__class__ is int or part.__class__ is slice:
        return 1
    if isinstance(part, bool | np.bool_):
        return 0
    if isinstance(part, list):
        part = np.asarray(part)
    return part.ndim if getattr(part, "dtype", None) == np.bool_ else 1


def filled(parts: list[Any], holes: Any) -> tuple:
    entering = iter(holes)
    return tuple(next(entering) if p is HOLE else p for p in parts)


def part_key(part: Any) -> Any:
    if part.__class__ is Start:
        return (Start, part.length, part.drop)
    return HOLE if part is HOLE else static_key(part)


def settled(parts: list[Any], arrays: list[Any]) -> tuple[list[Any], list[Any]]:
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


def taken_from(x: Any, parts: list[Any], starts: Any) -> Any:
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
