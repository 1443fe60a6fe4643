"""From arrays that are split over the devices of a mesh to whole matrices on single devices, and back.

Each device sends to each other its parts of the matrices that the other one has, in one row of a buffer, and gets the
parts of its own: an all-to-all. It then goes over its matrices in a loop; what is done with one is a branch, one for
each kind of matrices, so a program does not grow with their number. What was made goes back the same way.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec


class Cut(NamedTuple):
    """An array in equal parts along one dimension, with zeros behind it where it does not divide.

    Attributes:
      shape: of the array.
      dim: the dimension.
      parts: how many.
    """

    shape: tuple[int, ...]
    dim: int
    parts: int

    @classmethod
    def of(cls, shape: tuple[int, ...], parts: int) -> Cut:
        """Along the largest dimension that divides, as states are spread; else along the largest."""
        sizes = [n if n % parts == 0 else 0 for n in shape]
        sizes = sizes if max(sizes) else list(shape)
        return cls(shape, sizes.index(max(sizes)), parts)

    @property
    def part(self) -> tuple[int, ...]:
        """The shape of a part."""
        d = self.dim
        return (*self.shape[:d], -(-self.shape[d] // self.parts), *self.shape[d + 1 :])

    @property
    def size(self) -> int:
        """Entries of a part."""
        return math.prod(self.part)

    @property
    def filled(self) -> tuple[int, ...]:
        """The shape with the zeros."""
        d = self.dim
        return (*self.shape[:d], self.part[d] * self.parts, *self.shape[d + 1 :])

    def fill(self, x: jax.Array) -> jax.Array:
        """A stack of arrays with the zeros."""
        behind = [(0, 0), *((0, m - n) for m, n in zip(self.filled, self.shape, strict=True))]
        return x if self.filled == self.shape else jnp.pad(x, behind)

    def trim(self, x: jax.Array) -> jax.Array:
        """A stack of arrays without them."""
        return x if self.filled == self.shape else x[(slice(None), *map(slice, self.shape))]

    def join(self, parts: jax.Array) -> jax.Array:
        """The array of its parts, one a row."""
        parts = parts.reshape(self.parts, *self.part)
        return self.trim(jnp.moveaxis(parts, 0, self.dim).reshape(1, *self.filled))[0]

    def split(self, x: jax.Array) -> jax.Array:
        """The parts of the array, one a row."""
        d, part = self.dim, self.part
        x = self.fill(x[None])[0].reshape(*part[:d], self.parts, *part[d:])
        return jnp.moveaxis(x, d, 0).reshape(self.parts, self.size)


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """What is done with matrices of one shape.

    Attributes:
      fn: of a matrix and its numbers, by name.
      given: the matrix, cut.
      made: shape and dtype of the result.
      back: the result, cut.
    """

    fn: Callable[..., jax.Array]
    given: Cut
    made: Any
    back: Cut

    @classmethod
    def of(cls, fn: Callable[..., jax.Array], matrix: Any, numbers: dict[str, Any], parts: int) -> Kind:
        """The kind of a matrix, given by its shape and dtype, and of the numbers that go with it."""
        made = jax.eval_shape(fn, matrix, numbers)
        return cls(fn, Cut.of(matrix.shape, parts), made, Cut.of(made.shape, parts))

    @property
    def weight(self) -> int:
        """Multiplications of a product of the matrix and its transpose."""
        return math.prod(self.given.shape) * min(self.given.shape)


class Matrix(NamedTuple):
    """One matrix: the array it is of, and its number there."""

    array: int
    number: int


class Plan:
    """Who gets which matrices, and where in the buffers their parts lie.

    Attributes:
      hands: the matrices of each device.
      given, back: length of a row of the buffers that go and come back.
      at: for each device, where its matrices begin in a row of the first buffer, and of the second.
    """

    def __init__(self, counts: Sequence[int], kinds: Sequence[Kind], parts: int):
        every = [Matrix(a, j) for a, n in enumerate(counts) for j in range(n)]
        weights = [kinds[m.array].weight for m in every]
        self.hands = [[every[i] for i in hand] for hand in hands(weights, parts)]
        sizes = [[(kinds[m.array].given.size, kinds[m.array].back.size) for m in hand] for hand in self.hands]
        ends = [np.cumsum([(0, 0), *row], 0) for row in sizes]
        self.at = [end[:-1] for end in ends]
        self.given, self.back = (int(max(end[-1, k] for end in ends)) for k in (0, 1))


def hands(weights: Sequence[int], parts: int) -> list[list[int]]:
    """Numbers of things, dealt to so many: the heaviest first, each to the one that has least.

    Example:
      >>> hands([1, 5, 2, 2], 2)
      [[1], [2, 3, 0]]
    """
    loads, found = [0] * parts, [list[int]() for _ in range(parts)]
    for i in sorted(range(len(weights)), key=lambda i: -weights[i]):
        least = loads.index(min(loads))
        found[least].append(i)
        loads[least] += weights[i]
    return found


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
    around = jax.sharding.get_abstract_mesh()  # of a mesh with explicit axes the automatic form, see `automatic`
    mesh = mesh if around.empty else around
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
        rows = [
            _row([parts[m.array][m.number] for m in hand], plan.given, parts[0].dtype) for hand in plan.hands
        ]
        mine = lax.all_to_all(jnp.stack(rows), axes, 0, 0, tiled=True)
        made = lax.all_to_all(_work(mine, numbers, kinds, plan, axes), axes, 0, 0, tiled=True)
        found: list[list[Any]] = [[None] * len(x) for x in arrays]
        for d, hand in enumerate(plan.hands):
            for m, (_, at) in zip(hand, plan.at[d], strict=True):
                back = kinds[m.array].back
                found[m.array][m.number] = made[d, at : at + back.size].reshape(back.part)
        return [jnp.stack(x) for x in found]

    filled = [k.given.fill(x) for k, x in zip(kinds, arrays, strict=True)]
    made = on_each(filled, list(numbers))
    return [k.back.trim(x) for k, x in zip(kinds, made, strict=True)]


def _row(parts: Sequence[jax.Array], length: int, dtype: Any) -> jax.Array:
    flat = [x.reshape(-1) for x in parts]
    rest = length - sum(map(len, flat))
    return jnp.concatenate([*flat, jnp.zeros(rest, dtype)])


def _work(
    mine: jax.Array, numbers: Any, kinds: Sequence[Kind], plan: Plan, axes: tuple[str, ...]
) -> jax.Array:
    """The buffer that goes back: what this device makes of its matrices, one after the other."""
    different = list(dict.fromkeys(kinds))
    tables = {k: [a for a, other in enumerate(kinds) if other == k] for k in different}
    given = [jax.tree.map(lambda *n: jnp.stack(n), *[numbers[a] for a in tables[k]]) for k in different]

    def doing(kind: Kind, given: Any) -> Callable[..., jax.Array]:
        def do(made: jax.Array, begin: Any, end: Any, which: Any) -> jax.Array:
            parts = lax.dynamic_slice_in_dim(mine, begin, kind.given.size, 1)
            result = kind.fn(kind.given.join(parts), {k: n[which] for k, n in given.items()})
            return lax.dynamic_update_slice_in_dim(made, kind.back.split(result), end, 1)

        return do

    branches = [doing(k, n) for k, n in zip(different, given, strict=True)]
    turns = max(map(len, plan.hands))
    # branch, where its parts begin, where those of the result begin, whose numbers; a last branch for who has fewer
    table = np.full((len(plan.hands), turns, 4), (len(branches), 0, 0, 0), np.int32)
    for d, hand in enumerate(plan.hands):
        for t, m in enumerate(hand):
            kind = kinds[m.array]
            table[d, t] = different.index(kind), *plan.at[d][t], tables[kind].index(m.array)

    def turn(made: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
        branch, *where = row
        return lax.switch(branch, [*branches, lambda made, *_: made], made, *where), None

    dtype = kinds[0].made.dtype
    begin = jnp.zeros((len(plan.hands), plan.back), dtype)
    return lax.scan(turn, begin, jnp.asarray(table)[lax.axis_index(axes)])[0]
