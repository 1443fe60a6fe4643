"""How the results of microbatches become one result.

    carry = init(shape and dtype of x_0)
    carry = update(carry, x_i, i)      for each microbatch i
    result = finalize(carry)

Sums and means are added up in at least float32 and cast back: 512 bfloat16 ones would otherwise make 256.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import ArgumentError, StructureError
from nablax.tree import at_least_float32


class AccumulationType(enum.Enum):
    """MEAN: the mean, from a sum divided at the end. SUM: the sum. RUNNING_MEAN: the mean, updated at each microbatch,
    so that it never grows past its largest term. CONCAT: the microbatches one after the other along axis 0."""

    MEAN = 1
    SUM = 2
    RUNNING_MEAN = 3
    CONCAT = 4


class Accumulator(NamedTuple):
    """A way to accumulate.

    Attributes:
      init: `init(shape_dtype_struct) -> carry`, from the result of one microbatch.
      update: `update(carry, value, index) -> carry`; index is that of the microbatch.
      finalize: `finalize(carry) -> result`.
      aggregate: `aggregate(value) -> value`, what `micro_vmap` does with the vmapped results within a microbatch before
        they are accumulated.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], Any]
    finalize: Callable[[Any], Any]
    aggregate: Callable[[Any], Any]


def as_accumulator(kind: Any, parts: int) -> Accumulator:
    """The accumulator of a type, for `parts` microbatches; accumulators pass through."""
    if isinstance(kind, Accumulator):
        return kind
    if kind is AccumulationType.CONCAT:
        return _concat(parts)
    if kind is AccumulationType.SUM:
        return _reduction(lambda carry, x, i: carry + x, None, jnp.sum, "SUM")
    if kind is AccumulationType.MEAN:
        return _reduction(lambda carry, x, i: carry + x, parts, jnp.mean, "MEAN")
    if kind is AccumulationType.RUNNING_MEAN:
        return _reduction(lambda carry, x, i: carry + (x - carry) / (i + 1), None, jnp.mean, "RUNNING_MEAN")
    if not callable(getattr(kind, "update", None)):
        raise ArgumentError(
            f"microbatch: accumulator must be an AccumulationType or an Accumulator, got {type(kind).__name__}: "
            f"{kind!r}."[:300]
        )
    return kind


def _reduction(step: Any, divisor: int | None, aggregate: Any, name: str) -> Accumulator:
    def init(like: Any) -> tuple[jax.Array, jax.Array]:
        if name != "SUM" and not jnp.issubdtype(like.dtype, jnp.inexact):
            raise StructureError(f"microbatch: {name} needs floating-point results, got {like.dtype}.")
        # The carry remembers the dtype to return to, in an array without elements.
        return jnp.zeros(like.shape, at_least_float32(like.dtype)), jnp.zeros((0,), like.dtype)

    def update(carry: Any, value: Any, index: Any) -> Any:
        total, dtype = carry
        return step(total, value.astype(total.dtype), index).astype(total.dtype), dtype

    def finalize(carry: Any) -> jax.Array:
        total, dtype = carry
        return (total if divisor is None else total / divisor).astype(dtype.dtype)

    return Accumulator(init, update, finalize, lambda x: aggregate(x, axis=0))


def _concat(parts: int) -> Accumulator:
    """Row j of microbatch i is row j * parts + i of the whole, the inverse of `reshape_batch_axis`."""

    def init(like: Any) -> jax.Array:
        if not like.shape:
            raise StructureError("microbatch: CONCAT needs results with a batch axis, got a scalar.")
        return jnp.zeros((like.shape[0], parts, *like.shape[1:]), like.dtype)

    def update(carry: Any, value: Any, index: Any) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(carry, value, index, 1)

    def finalize(carry: Any) -> jax.Array:
        return carry.reshape(carry.shape[0] * parts, *carry.shape[2:])

    return Accumulator(init, update, finalize, lambda x: x)
