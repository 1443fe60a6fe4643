"""Shapes: views of the same elements, joins, and what picks and places elements."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._namespaces import numpy
from ._rows import Row, axis, ints, rows

# -- views: they work on NumPy's arrays, too, for the way back ---------------------------------------------------------


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


def _unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    n, d = input.shape[dimension], axis(dimension, len(input.shape))
    at = np.arange(0, n - size + 1, step)[:, None] + np.arange(size)
    found = input[(slice(None),) * d + (at,)]
    return _movedim(found, d + 1, -1)


VIEWS: dict[str, Row] = rows({
    "view": _reshape,
    "reshape": lambda input, *shape: input.reshape(ints(shape)),
    "view_as": lambda input, other: input.reshape(other.shape),
    "reshape_as": lambda input, other: input.reshape(other.shape),
    "transpose": Row(_transpose, differs="without arguments, or with an order of all axes, NumPy's permutation"),
    "swapaxes": lambda input, axis0, axis1: input.swapaxes(axis0, axis1),
    "swapdims": lambda input, dim0, dim1: input.swapaxes(dim0, dim1),
    "permute": _permute,
    "movedim": _movedim,
    "moveaxis": _movedim,
    "t": _t,
    "adjoint": lambda input: input.swapaxes(-2, -1).conj(),
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
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


# -- picking and placing ----------------------------------------------------------------------------------------------


def _places(dim: int, index: Any) -> tuple[Any, ...]:
    """The places that `index` names along one axis, as indices of all axes."""
    at = [jnp.asarray(i) for i in np.indices(np.shape(index), sparse=True)]
    at[axis(dim, len(at))] = index
    return tuple(at)


def _gather(input: Any, dim: int, index: Any) -> Any:
    return jnp.asarray(input)[_places(dim, index)] if jnp.ndim(input) else input


def _scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    new = value if src is None else src
    if jnp.ndim(new):
        new = new[tuple(slice(n) for n in jnp.shape(index))]
    at = jnp.asarray(input).at[_places(dim, index)]
    if reduce is None:
        return at.set(jnp.asarray(new).astype(input.dtype))
    if reduce not in ("add", "multiply"):
        raise ValueError(f"scatter: reduce must be 'add' or 'multiply', got {reduce!r}.")
    if reduce == "add":
        return at.add(new)
    return _scatter_product(
        jnp.asarray(input), axis(dim, jnp.ndim(input)), index, jnp.broadcast_to(new, jnp.shape(index))
    )


def _scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    src = src[tuple(slice(n) for n in jnp.shape(index))]
    return jnp.asarray(input).at[_places(dim, index)].add(src)


_NEUTRAL = {"sum": 0, "prod": 1, "mean": 0}
_AT = {"sum": "add", "prod": "multiply", "mean": "add", "amax": "max", "amin": "min"}


def _scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    if reduce not in _AT:
        raise ValueError(f"scatter_reduce: reduce must be one of {', '.join(_AT)}, got {reduce!r}.")
    places = _places(dim, index)
    src = src[tuple(slice(n) for n in jnp.shape(index))]
    start = jnp.asarray(input)
    if not include_self:
        info = jnp.finfo if jnp.issubdtype(start.dtype, jnp.floating) else jnp.iinfo
        edge = {"amax": info(start.dtype).min, "amin": info(start.dtype).max, **_NEUTRAL}[reduce]
        start = start.at[places].set(jnp.asarray(edge, start.dtype))
    if reduce == "prod":
        return _scatter_product(start, axis(dim, jnp.ndim(input)), index, src)
    found = getattr(start.at[places], _AT[reduce])(src)
    if reduce != "mean":
        return found
    count = jnp.zeros(start.shape, int).at[places].add(1)
    count = count + 1 if include_self else jnp.maximum(count, 1)
    return found / count


def _scatter_product(start: Any, dim: int, index: Any, src: Any) -> Any:
    """By masks, for JAX has no derivative of multiplying at places that may repeat."""
    index, src = jnp.moveaxis(index, dim, -1), jnp.moveaxis(src, dim, -1)
    hits = index[..., None] == np.arange(start.shape[dim])
    factor = jnp.moveaxis(jnp.where(hits, src[..., None], 1).prod(-2), -1, dim)
    region = tuple(slice(n) for n in factor.shape)
    return start.at[region].set(start[region] * factor)


def _along(dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + (index,)


def _index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    d = axis(dim, jnp.ndim(input))
    return jnp.asarray(input).at[_along(d, index)].add(alpha * source)


def _index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    return jnp.asarray(input).at[_along(axis(dim, jnp.ndim(input)), index)].set(source)


def _index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    return jnp.asarray(input).at[_along(axis(dim, jnp.ndim(input)), index)].set(value)


def _index_select(input: Any, dim: int, index: Any) -> Any:
    return jnp.take(input, index, dim)


def _masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    mask = jnp.broadcast_to(mask, input.shape)
    at = jnp.cumsum(mask.ravel()).reshape(mask.shape) - 1
    return jnp.where(mask, jnp.ravel(source)[jnp.clip(at, 0)], input)


def _repeat(input: Any, *repeats: Any) -> Any:
    times = ints(repeats)
    if len(times) < jnp.ndim(input):
        raise ValueError(
            f"repeat: {jnp.ndim(input)} axes need as many numbers, got {len(times)}: x.repeat(2, 1) repeats the "
            "tensor, as in torch. For every element twice write x.repeat(2, axis=0) as in NumPy, or "
            "x.repeat_interleave(2)."
        )
    return jnp.tile(input, times)


def _repeat_interleave(input: Any, repeats: Any, dim: Any = None, *, output_size: Any = None) -> Any:
    return jnp.repeat(input, repeats, dim, total_repeat_length=output_size)


def _take_along_dim(input: Any, indices: Any, dim: Any = None) -> Any:
    return jnp.take(input, jnp.ravel(indices)) if dim is None else jnp.take_along_axis(input, indices, dim)


def _flip(input: Any, *dims: Any) -> Any:
    return jnp.flip(input, ints(dims) if dims else None)


def _flip_dims(input: Any, *args: Any, dims: Any = None) -> Any:
    return _flip(input, *(args if dims is None else (dims,)))


def _roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    return jnp.roll(input, shifts, dims)


def _where(condition: Any, input: Any, other: Any) -> Any:
    return jnp.where(condition, input, other)


def _diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = input.shape[-1] + abs(offset)
    rows_ = np.arange(input.shape[-1]) + max(-offset, 0)
    made = jnp.zeros((*input.shape[:-1], n, n), input.dtype)
    return jnp.moveaxis(made.at[..., rows_, rows_ + offset].set(input), (-2, -1), (dim1, dim2))


def _meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    return tuple(jnp.meshgrid(*tensors, indexing=indexing))


def _cat(tensors: Any, dim: int = 0) -> Any:
    tensors = [t for t in tensors if jnp.shape(t) != (0,)] or list(tensors)[:1]
    return jnp.concatenate(tensors, dim)


def _combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    import itertools

    of = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    at = np.array(list(of(range(input.shape[0]), r)), int).reshape(-1, r)
    return jnp.asarray(input)[at]


def _bucketize(input: Any, boundaries: Any, *, right: bool = False) -> Any:
    return jnp.searchsorted(boundaries, input, side="right" if right else "left").astype(int)


def _searchsorted(sorted_sequence: Any, input: Any, *, right: bool = False, side: Any = None) -> Any:
    side = side or ("right" if right else "left")
    if jnp.ndim(sorted_sequence) == 1:
        return jnp.searchsorted(sorted_sequence, input, side=side).astype(int)
    flat = jnp.reshape(sorted_sequence, (-1, sorted_sequence.shape[-1]))
    each = jax.vmap(lambda a, v: jnp.searchsorted(a, v, side=side))
    return each(flat, jnp.reshape(input, (flat.shape[0], -1))).reshape(input.shape).astype(int)


def _nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    found = numpy.nonzero(input.reshape(1) if not input.shape else input)
    at = tuple(i.astype(int) for i in found)
    return at if as_tuple else numpy.stack(at, 1) if input.shape else numpy.zeros((len(at[0]), 0), jnp.int_)


def _unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
            dim: Any = None) -> Any:  # fmt: skip
    found = numpy.unique(input.detach(), return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    if not return_inverse and not return_counts:
        return found
    found = list(found)
    if return_inverse and dim is None:
        found[1] = found[1].reshape(input.shape)
    return (found[0], *[i.astype(int) for i in found[1:]])


def _bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    n = max(int(input.max()) + 1 if input.size else 0, minlength)
    found = numpy.bincount(input, weights, length=n)
    return found if weights is not None else found.astype(int)


def _histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    x = input.detach()
    low, high = (x.min().item(), x.max().item()) if min == max == 0 else (min, max)
    return numpy.histogram(x, bins, (low, high))[0].astype(x.dtype)


def _masked_select(input: Any, mask: Any) -> Any:
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return numpy.broadcast_to(input, shape)[numpy.broadcast_to(mask, shape)]


TABLE: dict[str, Row] = VIEWS | rows({
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "stack": lambda tensors, dim=0: jnp.stack(tensors, dim),
    "hstack": lambda tensors: jnp.hstack(tensors),
    "vstack": lambda tensors: jnp.vstack(tensors),
    "dstack": lambda tensors: jnp.dstack(tensors),
    "column_stack": lambda tensors: jnp.column_stack(tensors),
    "block_diag": lambda *tensors: jax.scipy.linalg.block_diag(*tensors),
    "meshgrid": Row(_meshgrid, differs="indexing='ij'; autograd.numpy.meshgrid has NumPy's 'xy'"),
    "cartesian_prod": lambda *tensors: jnp.stack([g.ravel() for g in jnp.meshgrid(*tensors, indexing="ij")], 1)
    if len(tensors) > 1 else tensors[0],
    "combinations": _combinations,
    "atleast_1d": lambda input: jnp.atleast_1d(input),
    "atleast_2d": lambda input: jnp.atleast_2d(input),
    "atleast_3d": lambda input: jnp.atleast_3d(input),
    "repeat": Row(_repeat, numpy=jnp.repeat, differs="repeats the tensor; every element with NumPy's axis="),
    "tile": lambda input, *dims: jnp.tile(input, ints(dims)),
    "repeat_interleave": _repeat_interleave,
    "flip": Row(_flip_dims, numpy=jnp.flip),
    "fliplr": lambda input: jnp.fliplr(input),
    "flipud": lambda input: jnp.flipud(input),
    "rot90": lambda input, k=1, dims=(0, 1): jnp.rot90(input, k, dims),
    "roll": Row(_roll, numpy=jnp.roll),
    "tril": lambda input, diagonal=0: jnp.tril(input, diagonal),
    "triu": lambda input, diagonal=0: jnp.triu(input, diagonal),
    "diag": lambda input, diagonal=0: jnp.diag(input, diagonal),
    "diag_embed": _diag_embed,
    "unfold": _unfold,
    "gather": _gather,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "scatter_reduce": _scatter_reduce,
    "index_select": Row(_index_select, differs="an index out of range that is only recorded gives NaN, as in JAX"),
    "index_add": _index_add,
    "index_copy": _index_copy,
    "index_fill": _index_fill,
    "take": Row(lambda input, index: jnp.take(input, index), numpy=jnp.take),
    "take_along_dim": _take_along_dim,
    "masked_scatter": _masked_scatter,
    "where": _where,
    "bucketize": _bucketize,
    "searchsorted": _searchsorted,
}) | rows({
    "nonzero": Row(_nonzero, differs="one row an element; NumPy's tuple with as_tuple=True"),
    "argwhere": lambda input: _nonzero(input),
    "unique": Row(_unique, differs="without gradient, always sorted"),
    "bincount": _bincount,
    "histc": _histc,
    "masked_select": _masked_select,
}, direct=True)  # fmt: skip
