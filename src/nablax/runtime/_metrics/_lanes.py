"""A step of large leaves and the squares of its norms together, a tile at a time, while it lies in a processor's cache.

XLA's CPU compiler makes one loop for each array that a step writes down, and one more for sums: each reads again from
memory what the others have read. Here one loop goes over the tiles of several leaves, its lanes, and does all of that
for one tile after the other; so a step with norms reads and writes what one without does, and no more.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import Entry, abs_sq, arrays_of, at, overwriting_now, widened

LARGE = 4096  # entries of a leaf that is worth it
# An entry of the loop that sums squares adds this many, so few that XLA's compiler unrolls the sum and vectorises over
# entries: 4 would write twice as many sums, and from 16 on the loop is a scalar one.
_TOGETHER = 8
_TILE = 8192  # entries: those of gradient, moments and parameter stay in the caches nearest to a core
_UNIT = 64  # entries of which a tile is a multiple
# Leaves of a loop, all of one size: so many that the cores are busy, so few that XLA compiles it in a second. With
# leaves of many sizes it takes XLA several times as long.
_LANES = range(4, 17)
# With two cores, a few leaves of this many entries, more than caches hold, go through a loop each, one after the other:
# one core, which reads them once, takes less time than two that read them twice.
_HUGE = 2**21
_FEW = 8
_CORES = 8  # with more, a tile of each lane is too little work to be handed out


class Lane(NamedTuple):
    """A parameter leaf, its gradient and its state.

    Attributes:
      row: gradient, update, and parameter after the step, to be measured.
      writes: what the step writes down; empty where that is to be done elsewhere.
      into: the arrays that these take the place of, of the same shapes and dtypes.
      places: where they stand among the leaves of the parameters and of the state.
    """

    row: tuple[Entry, Entry, Entry]
    writes: tuple[Entry, ...] = ()
    into: tuple[Any, ...] = ()
    places: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.row[0].size


def looped(lanes: Sequence[Lane]) -> list[list[int]]:
    """The lanes, by their numbers, that go through a loop together; a lane that is in none is not worth it."""
    cores = _cores()
    if cores > _CORES or jax.device_count() > 1 or not overwriting_now():
        return []
    sizes: dict[int, list[int]] = {}
    for k, lane in enumerate(lanes):
        if lane.writes and 2 * _TILE <= lane.size < 2**31:
            sizes.setdefault(lane.size, []).append(k)
    found: list[list[int]] = []
    for size, alike in sizes.items():
        if cores <= 2 and size >= _HUGE and len(alike) < _FEW:
            found += [[k] for k in alike]
        else:
            found += [part for part in _parts(alike) if len(part) in _LANES]
    return found


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parts(group: list[int]) -> list[list[int]]:
    """A group in the fewest parts that loops take, of about one length."""
    count = -(-len(group) // _LANES[-1])
    return [group[len(group) * i // count : len(group) * (i + 1) // count] for i in range(count)]


def _tiles(size: int) -> tuple[int, int]:
    """The turns of a loop, and how long a tile is: so that little is left over."""
    mean = size / _TILE

    def left(turns: int) -> tuple[int, float]:
        return size - turns * (size // turns // _UNIT * _UNIT), abs(math.log(turns / mean))

    turns = min(range(math.ceil(mean / 1.5), math.ceil(1.5 * mean) + 1), key=left)
    return turns, size // turns // _UNIT * _UNIT


def run(lanes: Sequence[Lane]) -> tuple[list[list[jax.Array]], list[list[jax.Array]]]:
    """What lanes of one size write down, and the sums of squares of their rows."""
    size = lanes[0].size
    turns, tile = _tiles(size)
    flat = _flat(lanes)

    def body(i: jax.Array, carry: Any) -> Any:
        done = [
            _stretch(lane, flat, held, i * tile, tile, _together)
            for lane, (held, _) in zip(lanes, carry, strict=True)
        ]
        return [(new, sums + part) for (_, sums), (new, part) in zip(carry, done, strict=True)]

    start = []
    for lane in lanes:
        dtype = jnp.result_type(jnp.float32, *[x.dtype for x in lane.row])
        zeros = jnp.zeros((3, tile // _TOGETHER), jnp.finfo(dtype).dtype)
        start.append(([flat[id(x)] for x in lane.into], zeros))
    written, found = [], []
    for lane, (held, sums) in zip(lanes, lax.fori_loop(0, turns, body, start), strict=True):
        total = jnp.sum(sums, 1)
        if rest := size - turns * tile:
            held, part = _stretch(lane, flat, held, turns * tile, rest, squares_of)
            total = total + part
        written.append([x.reshape(like.shape) for x, like in zip(held, lane.into, strict=True)])
        found.append(list(total))
    return written, found


def again(lane: Lane) -> list[jax.Array]:
    """The sums of squares of a lane's row, of a leaf whose step is done elsewhere.

    The row is computed once more, for reading only, from arrays that XLA does not know to be the same ones: what two
    loops read it would write down.
    """
    hidden: dict[int, Any] = {}

    def view(x: Any) -> Any:
        if id(x) not in hidden:
            hidden[id(x)] = jnp.ravel(lax.optimization_barrier(x))
        return hidden[id(x)]

    row = at(lane.row, view, lane.size)
    return [jnp.sum(x) for x in _together(row)] if lane.size % _TOGETHER == 0 else squares_of(row)


def _flat(lanes: Sequence[Lane]) -> dict[int, Any]:
    """The arrays of lanes as vectors, by `id`. Made before a loop: within, XLA would look up each entry by row and
    column, and not vectorise."""
    vectors: dict[int, Any] = {}
    for lane in lanes:
        for x in [*lane.into, *arrays_of([*lane.row, *lane.writes])]:
            if id(x) not in vectors:
                vectors[id(x)] = jnp.ravel(x)
    return vectors


def _stretch(
    lane: Lane,
    flat: dict[int, Any],
    held: Sequence[Any],
    offset: Any,
    count: int,
    squares: Callable[[Any], Any],
) -> tuple[list[Any], jax.Array]:
    """A stretch of the leaf: its arrays with what the step wrote there, and sums of squares."""
    now = {**flat, **{id(x): new for x, new in zip(lane.into, held, strict=True)}}

    def view(x: Any) -> Any:
        return lax.dynamic_slice_in_dim(now[id(x)], offset, count)

    values = at([*lane.row, *lane.writes], view, count)
    put = lax.dynamic_update_slice_in_dim
    return [put(x, new, offset, 0) for x, new in zip(held, values[3:], strict=True)], jnp.stack(
        squares(values[:3])
    )


def squares_of(row: Sequence[Any]) -> list[jax.Array]:
    """Sums of squares of arrays, one by one."""
    with tree.across(None):  # `root` adds those of other devices
        return [tree.norm(x, squared=True) for x in row]


def _together(row: Sequence[Any]) -> list[jax.Array]:
    """Sums of squares of vectors of one length, an eighth as long, in one loop."""
    squared = tuple(abs_sq(widened(x)).reshape(_TOGETHER, -1) for x in row)
    zeros = tuple(jnp.zeros((), x.dtype) for x in squared)
    return list(lax.reduce(squared, zeros, _added, (0,)))


def _added(a: Sequence[Any], b: Sequence[Any]) -> tuple[Any, ...]:
    """One function for all leaves: JAX keeps what it traced by it."""
    return tuple(map(operator.add, a, b))
