"""Joining, repeating, turning: shapes whose elements are copies."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._path._recorded import Recorded
from .._namespaces import numpy
from ._rows import Row, axis, ints, rows


def _meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    return tuple(jnp.meshgrid(*tensors, indexing=indexing))


def _cat(tensors: Any, dim: int = 0) -> Any:
    tensors = [t for t in tensors if jnp.shape(t) != (0,)] or list(tensors)[:1]
    return jnp.concatenate(tensors, dim)


def _combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    of = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    at = np.array(list(of(range(input.shape[0]), r)), int).reshape(-1, r)
    return jnp.asarray(input)[at]


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
    if isinstance(repeats, int):
        return numpy.repeat(input, repeats, dim)
    counts = np.asarray(repeats.detach() if isinstance(repeats, Recorded) else repeats)  # type: ignore[attr-defined]
    along = numpy.ravel(input) if dim is None else input
    at = np.repeat(np.arange(along.shape[dim or 0]), counts)
    return numpy.take(along, at, dim or 0)


def _flip(input: Any, *dims: Any) -> Any:
    return jnp.flip(input, ints(dims) if dims else None)


def _flip_dims(input: Any, *args: Any, dims: Any = None) -> Any:
    return _flip(input, *(args if dims is None else (dims,)))


def _roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    return jnp.roll(input, shifts, dims)


def _diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = input.shape[-1] + abs(offset)
    rows_ = np.arange(input.shape[-1]) + max(-offset, 0)
    made = jnp.zeros((*input.shape[:-1], n, n), input.dtype)
    return jnp.moveaxis(made.at[..., rows_, rows_ + offset].set(input), (-2, -1), (dim1, dim2))


def _unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    n, d = input.shape[dimension], axis(dimension, len(input.shape))
    at = np.arange(0, n - size + 1, step)[:, None] + np.arange(size)
    found = input[(slice(None),) * d + (at,)]
    return jnp.moveaxis(found, d + 1, -1)


TABLE: dict[str, Row] = rows({
    "cat concat concatenate": _cat,
    "stack": lambda tensors, dim=0: jnp.stack(tensors, dim),
    "hstack": lambda tensors: jnp.hstack(tensors),
    "vstack row_stack": lambda tensors: jnp.vstack(tensors),
    "dstack": lambda tensors: jnp.dstack(tensors),
    "column_stack": lambda tensors: jnp.column_stack(tensors),
    "block_diag": lambda *tensors: jax.scipy.linalg.block_diag(*tensors),
    "meshgrid": Row(_meshgrid, differs="indexing='ij'; autograd.numpy.meshgrid has NumPy's 'xy'"),
    "broadcast_tensors": lambda *tensors: tuple(jnp.broadcast_arrays(*tensors)),
    "cartesian_prod": lambda *tensors: jnp.stack([g.ravel() for g in jnp.meshgrid(*tensors, indexing="ij")], 1)
    if len(tensors) > 1 else tensors[0],
    "combinations": _combinations,
    "atleast_1d": lambda input: jnp.atleast_1d(input),
    "atleast_2d": lambda input: jnp.atleast_2d(input),
    "atleast_3d": lambda input: jnp.atleast_3d(input),
    "repeat": Row(_repeat, numpy=jnp.repeat, differs="repeats the tensor; every element with NumPy's axis="),
    "tile": lambda input, *dims: jnp.tile(input, ints(dims)),
    "repeat_interleave": Row(_repeat_interleave, direct=True),
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
})  # fmt: skip
