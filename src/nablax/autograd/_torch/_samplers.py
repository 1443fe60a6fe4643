"""In which order samples are taken: numbers, or batches of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from .._tensor._torch._random import Generator, default_generator


def permutation(n: int, generator: Generator | None) -> list[int]:
    """0 to n - 1 in a random order."""
    return (generator or default_generator).draw("permutation", n).tolist()


def batched(things: Iterable[Any], size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of so many things; the last one may be shorter, or is left out."""
    left = iter(things)
    while batch := list(itertools.islice(left, size)):
        if len(batch) == size or not drop_last:
            yield batch


def positive(who: str, word: str, value: Any) -> int:
    """A number of things.

    Raises:
      ValueError: it is no integer, or below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{who}: {word} must be an integer of at least 1, got {value!r}.")
    return int(value)


class Sampler:
    """Base class: `iter(self)` gives numbers of samples."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __class_getitem__(cls, of: Any) -> Any:
        return cls

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} needs __iter__(self): the numbers of samples.")


class SequentialSampler(Sampler):
    """All samples, the first one first."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new random order each time.

    Args:
      data_source: what has a length.
      replacement: draw each number by itself, so that some come twice.
      num_samples: how many; as many as there are if None. Without replacement, more of them begin a new order.
      generator: as of `DataLoader`.
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None,
                 generator: Generator | None = None) -> None:  # fmt: skip
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._many = None if num_samples is None else positive("RandomSampler", "num_samples", num_samples)

    @property
    def num_samples(self) -> int:
        """How many numbers come."""
        return len(self.data_source) if self._many is None else self._many

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        if self.replacement and left:
            yield from (self.generator or default_generator).draw("integers", 0, n, left).tolist()
            return
        while left > 0 and n:
            order = permutation(n, self.generator)[:left]
            yield from order
            left -= len(order)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """These numbers, in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return (self.indices[i] for i in permutation(len(self.indices), self.generator))

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Numbers 0 to len(weights) - 1, drawn by their weights.

    Args:
      weights: of each number, at least 0; they need not sum to 1.
      num_samples: how many are drawn.
      replacement: whether a number may come twice; without, by the keys of Efraimidis and Spirakis (2006).
      generator: as of `DataLoader`.

    Raises:
      ValueError: weights are negative or all 0, or fewer are above 0 than are drawn without replacement.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True,
                 generator: Generator | None = None) -> None:  # fmt: skip
        self.weights = np.asarray(weights, np.float64)
        self.num_samples = positive("WeightedRandomSampler", "num_samples", num_samples)
        self.replacement, self.generator = replacement, generator
        flat, enough = self.weights, 1 if replacement else self.num_samples
        if flat.ndim != 1 or not (np.isfinite(flat) & (flat >= 0)).all() or (flat > 0).sum() < enough:
            raise ValueError(
                f"WeightedRandomSampler: weights must be one row of numbers of at least 0, {enough} of them above 0, "
                f"got {weights!r}."[:300]
            )

    def __iter__(self) -> Iterator[int]:
        source = self.generator or default_generator
        if self.replacement:
            ends = np.cumsum(self.weights)
            drawn = np.searchsorted(ends, source.draw("random", self.num_samples) * ends[-1], "right")
            drawn = np.minimum(drawn, np.flatnonzero(self.weights)[-1])  # where a product was rounded up
        else:
            with np.errstate(divide="ignore"):
                keys = source.draw("standard_exponential", len(self.weights)) / self.weights
            drawn = np.argsort(keys)[: self.num_samples]
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of batch_size numbers of a sampler; drop_last leaves out a last one that is shorter."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False) -> None:
        self.batch_size = positive("BatchSampler", "batch_size", batch_size)
        self.sampler, self.drop_last = sampler, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return batched(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


SAMPLERS: dict[str, Any] = {
    f.__name__: f
    for f in (
        Sampler, SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler, BatchSampler,
    )
}  # fmt: skip
