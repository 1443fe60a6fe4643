"""Sums over all leaves: what optimizers with one step size for all parameters measure before they step."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import Program, as_array, map_leaves, real_dtype
from nablax.tree import at_least_float32, reduce_scalars


def _wide(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return x.astype(at_least_float32(x.dtype))


def inner(x: jax.Array, y: jax.Array) -> jax.Array:
    """The terms of the real inner product: Re(conj(x) y)."""
    if jnp.iscomplexobj(x) or jnp.iscomplexobj(y):
        return jnp.real(jnp.conj(x) * y)
    return x * y


def abs1(x: jax.Array) -> jax.Array:
    """The terms of a 1-norm; of a complex entry |re| + |im|, so that it is the norm of the real vector."""
    return jnp.abs(x.real) + jnp.abs(x.imag) if jnp.iscomplexobj(x) else jnp.abs(x)


@functools.lru_cache(256)
def _program(terms: Callable[..., dict[str, jax.Array]], dtype: Any) -> Program:
    def sums(row: Any, shared: dict[str, Any]) -> dict[str, jax.Array]:
        out = terms(*map(_wide, row), **shared)
        return {name: jnp.sum(x).astype(dtype) for name, x in out.items()}

    return Program(sums, terms.__module__.rpartition("._")[2])


def leaf_sums(
    terms: Callable[..., dict[str, jax.Array]], tree: Any, *rest: Any, **shared: Any
) -> dict[str, jax.Array]:
    """Sums over all entries of all leaves, in at least float32.

    Args:
      terms: module-level function of one leaf of each tree and of `shared`; returns named arrays to be added up.
      tree: tree of arrays; leaves that are None are skipped.
      *rest: trees of the same structure.
      **shared: numbers and scalars for every leaf.

    Returns:
      One real scalar a name, in the dtype of `core.scalar()` for such parameters.
    """
    dtype = real_dtype(tree)
    program, numbers = _program(terms, dtype), {name: as_array(x) for name, x in shared.items()}
    results, _ = map_leaves(program, tree, *rest, shared=numbers)
    outputs = [sums for sums in results if sums is not None]
    if not outputs:
        return {name: jnp.zeros((), dtype) for name in terms(*[jnp.zeros(())] * (1 + len(rest)), **shared)}
    return {name: reduce_scalars(operator.add, [out[name] for out in outputs]) for name in outputs[0]}
