"""Norms of a step: of gradients, updates, and the parameters after it, in as few passes over memory as XLA lets us.

An array that two loops read, XLA's CPU compiler writes down: with a norm of the updates, all of them and their
quotients, in fresh memory that costs more than the step. So where the step of an entry takes nothing but entries of its
place, the norms are summed where the entries are made: in the loop that makes the step, if there are leaves enough to
keep the cores busy, else in one that makes them a second time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import Advanced, Entry, WholeLeaf, arrays_of, entries_of, under_jit
from nablax.runtime._metrics._lanes import LARGE, Lane, again, looped, run, squares_of

_SMALL = 1024  # entries of a leaf that is joined to others
_TOGETHER = 32  # leaves; with all of 1,000 in one array, XLA compiles longer


class Moved(NamedTuple):
    """A step that was made, and the parameters after it that are to be measured: rounded to their dtypes, or not."""

    step: Advanced
    reached: Any


def measured(
    move: Callable[[Any, Any, Any], Moved], given: tuple[Any, Any, Any], moved: Moved, per_leaf: bool = False
) -> tuple[Advanced, list[list[jax.Array]]]:
    """A step as it is best made with its norms, and the squares of these: of gradients, updates and parameters after
    it, a list each.

    Args:
      move: what made the step: `move(grads, state, params)`.
      given: its arguments, of which the gradients and the parameters have one structure.
      moved: its result.
      per_leaf: a list has one entry for each leaf of the parameters, 0 where that has no gradient; else the entries
        add up to the square.

    Returns:
      The step, and lists of scalars, at least float32.
    """
    grads, _, params = given
    done, reached = moved
    treedef: Any = jax.tree.structure(params)
    lanes = _lanes_of(move, given)
    rows = list(zip(*[treedef.flatten_up_to(x) for x in (grads, done.updates, reached)], strict=True))
    others = [row for lane, row in zip(lanes, rows, strict=True) if lane is None]
    found = [
        squares_of(row) if per_leaf and lane is None else [] for lane, row in zip(lanes, rows, strict=True)
    ]
    after, kept = jax.tree.flatten((done.params, done.state))
    numbers = [k for k, lane in enumerate(lanes) if lane]
    large = [lane for lane in lanes if lane]
    for group in looped(large):
        written, sums = run([large[j] for j in group])
        for j, arrays, row in zip(group, written, sums, strict=True):
            found[numbers[j]] = row
            for place, array in zip(large[j].places, arrays, strict=True):
                after[place] = array
    found = [again(lane) if lane and not row else row for row, lane in zip(found, lanes, strict=True)]
    if others and not per_leaf:
        found.append(squares_of([_joined(column) for column in zip(*others, strict=True)]))
    new_params, new_state = jax.tree.unflatten(kept, after)
    done = done._replace(params=new_params, state=new_state)
    columns = zip(*[row for row in found if row], strict=True)
    return done, [list(column) for column in columns] or [[], [], []]


def norms_of(trees: Sequence[Any]) -> list[jax.Array]:
    """The norm of each tree, whatever lies where."""
    return [tree.norm(_joined(x)) for x in trees]


def root(parts: Sequence[jax.Array]) -> jax.Array:
    """The norm of what has these squares."""
    dtype = jnp.result_type(jnp.float32, *parts)
    if not parts:
        return jnp.zeros((), dtype)
    return jnp.sqrt(tree.reduce_scalars(operator.add, [x.astype(dtype) for x in parts]))


def _joined(arrays: Any) -> Any:
    """Arrays with the same entries, of which few are small: XLA compiles a loop for each that a sum reads, and takes as
    long for 3,000 sums as for the rest of a step. Joined, they are written down once more, which small ones may be."""
    if not under_jit() or jax.default_backend() != "cpu" or jax.device_count() > 1:
        return arrays
    small: dict[Any, list[Any]] = {}
    found = []
    for x in jax.tree.leaves(arrays):
        if jnp.size(x) < _SMALL:
            small.setdefault(jnp.result_type(x), []).append(jnp.ravel(x))
        else:
            found.append(x)
    for alike in small.values():
        for start in range(0, len(alike), _TOGETHER):
            part = jnp.concatenate(alike[start : start + _TOGETHER])
            # Else it is fused into the sum, which then asks for each entry where it comes from.
            found.append(jax.lax.optimization_barrier(part))
    return found


def _lanes_of(move: Callable[..., Moved], given: tuple[Any, Any, Any]) -> list[Lane | None]:
    """A lane for each leaf of the parameters whose step is made entry by entry, None for the others."""
    grads, state, params = given
    treedef: Any = jax.tree.structure(params)
    nothing: list[Lane | None] = [None] * treedef.num_leaves
    large = any(x.size >= LARGE for x in jax.tree.leaves(params) if hasattr(x, "size"))
    # Operation by operation nothing is fused, and Python may decide on values, which a second trace would not have.
    if not (large and under_jit()) or jax.default_backend() != "cpu":
        return nothing
    try:
        moved = entries_of(move, given, (False, True, True), LARGE)
    except WholeLeaf:
        return nothing
    rows = list(
        zip(*[treedef.flatten_up_to(x) for x in (grads, moved.step.updates, moved.reached)], strict=True)
    )
    lanes = [Lane((_entry(row[0]), _entry(row[1]), _entry(row[2]))) if _alike(row) else None for row in rows]
    # Where somebody else adds the updates to the parameters, they have to be written down.
    by_hand = moved.step.params is None
    return lanes if by_hand else _with_writes(lanes, moved.step, jax.tree.leaves((params, state)))


def _with_writes(lanes: list[Lane | None], done: Advanced, before: list[Any]) -> list[Lane | None]:
    """Lanes with all that the step writes down for their leaves; without, where leaves meet, an array changes its shape
    or the state its structure."""
    owner: dict[int, int] = {}
    apart: set[int] = set()
    for k, lane in enumerate(lanes):
        for x in arrays_of(lane.row if lane else ()):
            if owner.setdefault(id(x), k) != k:
                apart |= {k, owner[id(x)]}
    writes: dict[int, list[tuple[Entry, Any, int]]] = {}
    after = jax.tree.leaves((done.params, done.state))
    if len(after) != len(before):
        return lanes  # the state has other leaves after the step
    for place, (new, old) in enumerate(zip(after, before, strict=True)):
        if not isinstance(new, Entry) or new.array is old:
            continue
        owners = {owner[id(x)] for x in [old, *arrays_of([new])] if id(x) in owner}
        if len(owners) > 1 or new.shape != jnp.shape(old) or new.dtype != jnp.result_type(old):
            apart |= owners
        for k in owners:
            writes.setdefault(k, []).append((new, old, place))
    return [
        lane
        if lane is None or k in apart or k not in writes
        else Lane(lane.row, *zip(*writes[k], strict=True))
        for k, lane in enumerate(lanes)
    ]


def _alike(row: Sequence[Any]) -> bool:
    return (
        all(x is not None and jnp.issubdtype(x.dtype, jnp.inexact) for x in row)
        and len({tuple(x.shape) for x in row}) == 1
        and row[0].size >= LARGE
    )


def _entry(x: Any) -> Entry:
    return x if isinstance(x, Entry) else Entry.of(x, False)
