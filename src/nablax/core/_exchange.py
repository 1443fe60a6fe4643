"""From arrays that are split over the devices of a mesh to whole matrices on single devices, and back.

Each device sends to each other its parts of the matrices that the other one has, in one row of a buffer, and gets the
parts of its own: an all-to-all. It then goes over its matrices in a loop; what is done with one is a branch, one for
each kind of matrices, so a program does not grow with their number. What was made goes back the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

from nablax.core._deal_plan import Cut, Kind, Plan


def exchange(
    arrays: Sequence[jax.Array], numbers: Sequence[dict[str, jax.Array]], kinds: Sequence[Kind], mesh: Any
) -> list[jax.Array]:
    """What is made of each matrix, on one device.

    Args:
      arrays: stacks of matrices, (n, rows, columns), of one dtype; also the results are of one.
      numbers: for each stack, what its kind's function takes besides; every device has them.
      kinds: of each stack.
      mesh: the devices.
    """
    around = jax.sharding.get_abstract_mesh()
    mesh = (
        mesh if around.empty else around
    )  # of a mesh with explicit axes the automatic form, see `automatic`
    axes, everywhere = tuple(mesh.axis_names), PartitionSpec()
    plan = Plan([len(x) for x in arrays], kinds, mesh.size)

    def split(cut: Cut) -> PartitionSpec:
        return PartitionSpec(*[None] * (cut.dim + 1), axes)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=([split(k.given) for k in kinds], everywhere),
        out_specs=[split(k.back) for k in kinds],
        check_vma=False,
    )
    def on_each(parts: list[jax.Array], numbers: Any) -> list[jax.Array]:
        mine = lax.all_to_all(_sent(parts, plan), axes, 0, 0, tiled=True)
        made = _made(mine, numbers, kinds, plan, lax.axis_index(axes))
        return _received(lax.all_to_all(made, axes, 0, 0, tiled=True), kinds, plan)

    filled = [k.given.fill(x) for k, x in zip(kinds, arrays, strict=True)]
    results = on_each(filled, list(numbers))
    return [k.back.trim(x) for k, x in zip(kinds, results, strict=True)]


def _sent(parts: Sequence[jax.Array], plan: Plan) -> jax.Array:
    """This device's parts of all matrices, a row for each device that gets them."""
    rows = []
    for hand in plan.hands:
        flat = [parts[run.array][np.array(run.numbers)].reshape(-1) for run in hand]
        rest = plan.given - sum(map(len, flat))
        rows.append(jnp.concatenate([*flat, jnp.zeros(rest, parts[0].dtype)]))
    return jnp.stack(rows)


def _made(mine: jax.Array, numbers: Any, kinds: Sequence[Kind], plan: Plan, device: Any) -> jax.Array:
    """What this device makes of its matrices, one after the other; a row for each device that gets parts of it."""
    branches = list(dict.fromkeys(kinds))
    same = [[n for n, other in zip(numbers, kinds, strict=True) if other is k] for k in branches]

    def doing(kind: Kind, numbers: Any) -> Callable[..., jax.Array]:
        stacked = jax.tree.map(lambda *n: jnp.stack(n), *numbers)

        def do(made: jax.Array, given: Any, back: Any, which: Any) -> jax.Array:
            parts = lax.dynamic_slice_in_dim(mine, given, kind.given.size, 1)
            result = kind.fn(kind.given.join(parts), jax.tree.map(lambda n: n[which], stacked))
            return lax.dynamic_update_slice_in_dim(made, kind.back.split(result), back, 1)

        return do

    does = [doing(k, n) for k, n in zip(branches, same, strict=True)]

    def turn(made: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
        branch, *where = row
        return lax.switch(branch, [*does, lambda made, *_: made], made, *where), None

    nothing = jnp.zeros((len(plan.hands), plan.back), kinds[0].made.dtype)
    return lax.scan(turn, nothing, jnp.asarray(plan.turns(kinds, branches))[device])[0]


def _received(back: jax.Array, kinds: Sequence[Kind], plan: Plan) -> list[jax.Array]:
    """This device's parts of all results, in the order of the matrices; a row came from each device."""
    found = [list[jax.Array]() for _ in kinds]
    order = [list[int]() for _ in kinds]
    for row, hand in zip(back, plan.hands, strict=True):
        for run in hand:
            cut, n = kinds[run.array].back, len(run.numbers)
            found[run.array].append(row[run.back : run.back + n * cut.size].reshape(n, *cut.part))
            order[run.array] += run.numbers
    return [jnp.concatenate(x)[np.argsort(o)] for x, o in zip(found, order, strict=True)]
