"""Who gets which whole matrix, and where its parts lie on the way."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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
        """Along the largest dimension that divides, as states are on a mesh of one axis; else along the largest."""
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


class Run(NamedTuple):
    """Matrices of one array that one device gets, side by side in its row of the buffers.

    Attributes:
      array: which one.
      numbers: of the matrices there.
      given, back: where their parts begin in a row of the buffer that goes, and of the one that comes back.
    """

    array: int
    numbers: list[int]
    given: int
    back: int


class Plan:
    """Who gets which matrices, and where in the buffers their parts lie.

    Attributes:
      hands: of each device.
      given, back: length of a row of the buffer that goes, and of the one that comes back.
    """

    def __init__(self, counts: Sequence[int], kinds: Sequence[Kind], parts: int):
        every = [(a, j) for a, n in enumerate(counts) for j in range(n)]
        self.hands: list[list[Run]] = []
        self.given = self.back = 0
        for hand in hands([kinds[a].weight for a, _ in every], parts):
            runs, given, back = list[Run](), 0, 0
            for a, matrices in itertools.groupby(sorted(every[i] for i in hand), lambda matrix: matrix[0]):
                numbers = [j for _, j in matrices]
                runs.append(Run(a, numbers, given, back))
                given += kinds[a].given.size * len(numbers)
                back += kinds[a].back.size * len(numbers)
            self.hands.append(runs)
            self.given, self.back = max(self.given, given), max(self.back, back)

    def turns(self, kinds: Sequence[Kind], branches: Sequence[Kind]) -> np.ndarray:
        """For each device and each of its turns: which branch, where the matrix begins in a row of either buffer, and
        which of the arrays of its kind it is of. Who has fewer turns takes the branch after the last."""
        same = {k: [a for a, other in enumerate(kinds) if other is k] for k in branches}
        rows = [
            [
                (
                    branches.index(kinds[a]),
                    given + i * kinds[a].given.size,
                    back + i * kinds[a].back.size,
                    same[kinds[a]].index(a),
                )
                for a, numbers, given, back in hand
                for i in range(len(numbers))
            ]
            for hand in self.hands
        ]
        most = max(map(len, rows))
        return np.array([row + [(len(branches), 0, 0, 0)] * (most - len(row)) for row in rows], np.int32)


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
