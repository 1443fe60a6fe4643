"""Views: shapes of the same elements. They work on NumPy's arrays, too, for the way back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._operation._written import _shapes as rules
from ..._operation._written import by
from ._rows import Row, axis, ints, rows


def _transpose(input: Any, *dims: Any) -> Any:
    if len(dims) == 2 and not isinstance(dims[0], tuple | list):
        return input.swapaxes(*dims)
    return input.transpose(*dims)  # NumPy's: all axes reversed, or in a given order


def _squeeze(input: Any, dim: Any = None) -> Any:
    shape = input.shape
    wanted = range(len(shape)) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    places = {axis(d, len(shape)) for d in wanted}
    return input.squeeze(tuple(d for d in places if shape and shape[d] == 1))


def _unsqueeze(input: Any, dim: int) -> Any:
    n = len(input.shape) + 1
    if not -n <= dim < n:
        raise IndexError(f"unsqueeze: dim must lie in {-n} to {n - 1}, got {dim}.")
    return input.reshape((*input.shape[: dim % n], 1, *input.shape[dim % n :]))


def _flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    shape = input.shape or (1,)
    first, last = axis(start_dim, len(shape)), axis(end_dim, len(shape))
    if first > last:
        raise ValueError(f"flatten: start_dim must not come after end_dim, got {start_dim} and {end_dim}.")
    return input.reshape((*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _unflatten(input: Any, dim: int, sizes: Any) -> Any:
    d = axis(dim, len(input.shape))
    return input.reshape((*input.shape[:d], *_known(input.shape[d], tuple(sizes)), *input.shape[d + 1 :]))


def _known(length: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length // -math.prod(sizes) if n == -1 else n for n in sizes)


def _expand(input: Any, *sizes: Any) -> Any:
    wanted = ints(sizes)
    known = (*[1] * (len(wanted) - len(input.shape)), *input.shape)
    if len(known) != len(wanted):
        raise ValueError(f"expand: sizes must be at least as many as axes, {len(known)}, got {len(wanted)}.")
    to = [k if w == -1 else w for w, k in zip(wanted, known, strict=True)]
    return (np if isinstance(input, np.ndarray) else jnp).broadcast_to(input, to)


def _reshape(input: Any, *shape: Any) -> Any:
    if len(shape) == 1 and not isinstance(shape[0], tuple | list | int | np.integer):
        raise TypeError(
            f"view: sizes are needed, got {shape[0]!r}; to see the same bits as another dtype, use autograd.lax."
            "bitcast_convert_type."
        )
    return input.reshape(ints(shape))


def _permute(input: Any, *dims: Any) -> Any:
    dims = ints(dims)
    if len(dims) != len(input.shape):
        raise ValueError(f"permute: {len(input.shape)} axes need as many dims, got {len(dims)}.")
    return input.transpose(dims)


def _movedim(input: Any, source: Any, destination: Any) -> Any:
    return (np if isinstance(input, np.ndarray) else jnp).moveaxis(input, source, destination)


def _t(input: Any) -> Any:
    if len(input.shape) > 2:
        raise ValueError(f"t: at most 2 axes, got {len(input.shape)}. Use transpose(dim0, dim1) or mT.")
    return input.T


def _diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    return (np if isinstance(input, np.ndarray) else jnp).diagonal(input, offset, dim1, dim2)


def _narrow(input: Any, dim: int, start: int, length: int) -> Any:
    d, n = axis(dim, len(input.shape)), input.shape[dim]
    start = start + n if start < 0 else start
    if not 0 <= start <= start + length <= n:
        raise ValueError(f"narrow: start {start} and length {length} exceed the axis of length {n}.")
    return input[(slice(None),) * d + (slice(start, start + length),)]


def _select(input: Any, dim: int, index: int) -> Any:
    n = input.shape[dim]
    if not -n <= index < n:
        raise IndexError(f"select: index {index} is out of range for an axis of length {n}.")
    return input[(slice(None),) * (axis(dim, len(input.shape))) + (index,)]


def _split(input: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    length, size = input.shape[dim], split_size_or_sections
    if isinstance(size, tuple | list):
        if sum(size) != length:
            raise ValueError(f"split: sections must add up to {length}, got {list(size)}.")
        ends = np.cumsum(size)[:-1].tolist()
    else:
        ends = list(range(size, length, size))
    return _cut(input, ends, dim)


def _cut(input: Any, ends: list[int], dim: int) -> tuple[Any, ...]:
    bounds = [0, *ends, input.shape[dim]]
    return tuple(_narrow(input, dim, a, max(b - a, 0)) for a, b in pairwise(bounds))


def _chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    return _split(input, max(-(-input.shape[dim] // chunks), 1), dim)


def _tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    n, given = input.shape[dim], indices_or_sections
    if isinstance(given, int):
        sizes = [n // given + (i < n % given) for i in range(given)]
        given = np.cumsum(sizes)[:-1].tolist()
    return _cut(input, [min(i, n) if i >= 0 else n + i for i in given], dim)


TABLE: dict[str, Row] = rows({
    "view": _reshape,
    "reshape": by(rules.reshape, lambda input, *shape: input.reshape(ints(shape))),
    "view_as": lambda input, other: input.reshape(other.shape),
    "reshape_as": lambda input, other: input.reshape(other.shape),
    "transpose": Row(by(rules.transpose, _transpose),
                     differs="without arguments, or with an order of all axes, NumPy's permutation"),
    "swapaxes": by(rules.swapped, lambda input, axis0, axis1: input.swapaxes(axis0, axis1)),
    "swapdims": lambda input, dim0, dim1: input.swapaxes(dim0, dim1),
    "permute": by(rules.permuted, _permute),
    "movedim moveaxis": _movedim,
    "t": _t,
    "adjoint": lambda input: input.swapaxes(-2, -1).conj(),
    "squeeze": _squeeze,
    "unsqueeze": by(rules.unsqueeze, _unsqueeze),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "ravel": lambda input: input.reshape(-1),
    "expand": _expand,
    "expand_as": lambda input, other: _expand(input, *other.shape),
    "broadcast_to": lambda input, shape: _expand(input, *shape),
    "diagonal": _diagonal,
    "narrow": _narrow,
    "select": _select,
    "unbind": lambda input, dim=0: tuple(_select(input, dim, i) for i in range(input.shape[dim])),
    "split": _split,
    "chunk": _chunk,
    "tensor_split": _tensor_split,
}, view=True)  # fmt: skip
