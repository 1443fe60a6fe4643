"""Whole matrices, dealt to the devices of a mesh.

Newton-Schulz and decompositions need a matrix whole. Where the state is sharded, a compiler would gather and multiply
in parts, with collectives in every iteration. Here, of the matrices of one shape, each device gets its share whole:
one exchange before, one after. `dealing` says over which devices; what multiplies matrices asks `over_stack`.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec


class Deal(NamedTuple):
    """The mesh, and the names of its axes to deal over."""

    mesh: Any
    axes: tuple[str, ...]


_DEAL: contextvars.ContextVar[Deal | None] = contextvars.ContextVar("deal", default=None)
_STACK: contextvars.ContextVar[Deal | None] = contextvars.ContextVar("stack", default=None)


@contextlib.contextmanager
def dealing(deal: Deal | None) -> Iterator[None]:
    """Within it, rules that go over stacks of matrices deal them to the devices of a mesh."""
    token = _DEAL.set(deal)
    try:
        yield
    finally:
        _DEAL.reset(token)


def dealing_now() -> Deal | None:
    """What the innermost `dealing` said."""
    return _DEAL.get()


def map_stack(fn: Callable[[Any], Any], stacked: Any, deal: Deal) -> Any:
    """`fn` over the leading axis: elementwise work as the arrays lie, that of `over_stack` dealt to the devices."""
    token = _STACK.set(deal)
    try:
        return jax.vmap(fn)(stacked)
    finally:
        _STACK.reset(token)


def over_stack(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a whole matrix, and of numbers, which a stack of them under `map_stack` deals to the devices."""
    deal = _STACK.get()
    if deal is None:
        return fn
    one = jax.custom_batching.custom_vmap(fn)

    @one.def_vmap
    def many(size: int, batched: list[bool], matrix: Any, *numbers: Any) -> tuple[Any, bool]:
        if not batched[0] or any(batched[1:]):
            axes = [0 if b else None for b in batched]
            return jax.vmap(fn, axes, axis_size=size)(matrix, *numbers), True
        return dealt(fn, deal, matrix, *numbers), True

    return one


def dealt(fn: Callable[..., Any], deal: Deal, stacked: jax.Array, *numbers: Any) -> jax.Array:
    """`fn` of each matrix of a stack, on the device that got it.

    Args:
      fn: of one matrix and the numbers.
      deal: the devices.
      stacked: shape (n, ...); the n are padded to a multiple of the devices.
      *numbers: arrays that all share.
    """
    parts = math.prod(deal.mesh.shape[a] for a in deal.axes)
    n = stacked.shape[0]
    padding = [(0, -n % parts), *[(0, 0)] * (stacked.ndim - 1)]
    here, everywhere = PartitionSpec(deal.axes), PartitionSpec()

    @functools.partial(
        jax.shard_map,
        mesh=deal.mesh,
        in_specs=(here, *[everywhere] * len(numbers)),
        out_specs=here,
        axis_names=set(deal.axes),
        check_vma=False,
    )
    def on_each(mine: jax.Array, *numbers: Any) -> jax.Array:
        return jax.lax.map(lambda x: fn(x, *numbers), mine)

    stacked = _split_within(stacked, deal, parts)
    return _split_within(on_each(jnp.pad(stacked, padding), *numbers)[:n], deal, parts)


def _split_within(stacked: jax.Array, deal: Deal, parts: int) -> jax.Array:
    """Each matrix split over all devices, as the state is: else the layout of the dealt ones would spread from here
    to whatever they are made from."""
    sizes = [n if d and n % parts == 0 else 0 for d, n in enumerate(stacked.shape)]
    if not max(sizes):
        return stacked
    entries: list[Any] = [None, *[PartitionSpec.UNCONSTRAINED] * (stacked.ndim - 1)]
    entries[sizes.index(max(sizes))] = deal.axes
    return jax.lax.with_sharding_constraint(stacked, NamedSharding(deal.mesh, PartitionSpec(*entries)))


def dealt_each(
    fns: Sequence[Callable[[jax.Array], jax.Array]], matrices: Sequence[jax.Array], kinds: Sequence[Any]
) -> list[jax.Array]:
    """`fn(matrix)` for each pair; within `dealing` several of one kind and dtype are dealt to the devices.

    Args:
      fns: one for each matrix; those of one kind are the same function of arrays of one shape.
      matrices: arrays.
      kinds: anything with an equality.
    """
    deal, results = dealing_now(), [None] * len(fns)
    groups: list[tuple[Any, list[int]]] = []
    for i, key in enumerate(zip(kinds, (x.dtype for x in matrices), strict=True)):
        members = next((m for known, m in groups if known == key), None)
        if members is None:
            groups.append((key, [i]))
        else:
            members.append(i)
    for _, members in groups:
        first = fns[members[0]]
        if deal is None or len(members) == 1:
            made: Any = [first(matrices[i]) for i in members]
        else:
            made = dealt(first, deal, jnp.stack([matrices[i] for i in members]))
        for i, x in zip(members, made, strict=True):
            results[i] = x
    return results  # type: ignore[return-value]
