"""What picks elements and places them, by index or by mask."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._bounds import Within
from ._rows import Row, axis, indices, rows


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


def _index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    at = input.at[tuple(indices)]
    return at.add(values) if accumulate else at.set(values)


def _index_select(input: Any, dim: int, index: Any) -> Any:
    return jnp.take(input, index, dim)


def _masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    shape = jnp.broadcast_shapes(jnp.shape(input), jnp.shape(mask))
    input, mask = jnp.broadcast_to(input, shape), jnp.broadcast_to(mask, shape)
    at = jnp.cumsum(mask.ravel()).reshape(mask.shape) - 1
    return jnp.where(mask, jnp.ravel(source)[jnp.clip(at, 0)], input)


def _take_along_dim(input: Any, indices: Any, dim: Any = None) -> Any:
    return jnp.take(input, jnp.ravel(indices)) if dim is None else jnp.take_along_axis(input, indices, dim)


def _where(condition: Any, input: Any = None, other: Any = None) -> Any:
    if input is None and other is None:
        return tuple(indices(at) for at in jnp.nonzero(jnp.atleast_1d(condition)))
    return jnp.where(condition, input, other)


def _bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    found = jnp.searchsorted(boundaries, input, side="right" if right else "left")
    return found.astype(jnp.int32 if out_int32 else int)


def _searchsorted(sorted_sequence: Any, input: Any, *, right: bool = False, side: Any = None) -> Any:
    side = side or ("right" if right else "left")
    if jnp.ndim(sorted_sequence) == 1:
        return jnp.searchsorted(sorted_sequence, input, side=side).astype(int)
    flat = jnp.reshape(sorted_sequence, (-1, sorted_sequence.shape[-1]))
    each = jax.vmap(lambda a, v: jnp.searchsorted(a, v, side=side))
    return each(flat, jnp.reshape(input, (flat.shape[0], -1))).reshape(input.shape).astype(int)


def _of_axis(input: Any, dim: int, index: Any, *_: Any, **__: Any) -> Within:
    n = input.shape[dim] if input.ndim else 1
    return "index", index, -n, n, None


def _of_all(input: Any, index: Any, *_: Any, **__: Any) -> Within:
    return "index", index, -input.size, input.size, None


def _along_dim(input: Any, indices: Any, dim: Any = None) -> Within:
    n = input.size if dim is None else input.shape[dim]
    return "indices", indices, -n, n, None


_DIFFERS = "a negative index counts from the end"

TABLE: dict[str, Row] = rows({
    "gather": Row(_gather, within=_of_axis, differs=_DIFFERS),
    "scatter": Row(_scatter, within=_of_axis, differs=_DIFFERS),
    "scatter_add": Row(_scatter_add, within=_of_axis, differs=_DIFFERS),
    "scatter_reduce": Row(_scatter_reduce, within=_of_axis, differs=_DIFFERS),
    "index_select": Row(_index_select, within=_of_axis, differs=_DIFFERS),
    "index_add": Row(_index_add, within=_of_axis),
    "index_copy": Row(_index_copy, within=_of_axis),
    "index_fill": Row(_index_fill, within=_of_axis),
    "index_put": Row(_index_put, direct=True),
    "take": Row(lambda input, index: jnp.take(input, index), numpy=jnp.take, within=_of_all),
    "take_along_dim": Row(_take_along_dim, within=_along_dim),
    "masked_scatter": _masked_scatter,
    "where": Row(_where, number=True),
    "bucketize": _bucketize,
    "searchsorted": _searchsorted,
})  # fmt: skip
