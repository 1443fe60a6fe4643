"""Data sets: torch.utils.data's, of samples by number or one after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .._path._recorded import Recorded
from .._tensor._tensor import tensor
from .._tensor._torch._random import Generator
from ._samplers import permutation


class Dataset:
    """Base class: `self[i]` is a sample, `len(self)` their number."""

    def __class_getitem__(cls, of: Any) -> Any:
        return cls

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} needs __getitem__(self, index): sample number index."
        )

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Base class: samples come one after the other, by `iter(self)`."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} needs __iter__(self): an iterator of samples.")


class TensorDataset(Dataset):
    """Sample i holds row i of every tensor.

    Raises:
      ValueError: the tensors have different lengths.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors: tuple[Any, ...] = tuple([t if isinstance(t, Recorded) else tensor(t) for t in tensors])
        lengths = {len(t) for t in self.tensors}
        if len(lengths) > 1:
            raise ValueError(
                f"TensorDataset: tensors must have one length, got {', '.join(str(len(t)) for t in self.tensors)}."
            )

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple([t[index] for t in self.tensors])

    def __len__(self) -> int:
        return len(self.tensors[0]) if self.tensors else 0


class ConcatDataset(Dataset):
    """Data sets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        self._ends = np.cumsum([len(d) for d in self.datasets])

    def __getitem__(self, index: int) -> Any:
        index = range(len(self))[index]
        k = int(np.searchsorted(self._ends, index, side="right"))
        return self.datasets[k][index - (int(self._ends[k - 1]) if k else 0)]

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.datasets else 0


class Subset(Dataset):
    """Some samples of a data set, by number."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Disjoint subsets, drawn at random.

    Args:
      dataset: what has a length.
      lengths: how many samples each gets; or shares of 1, of which what is left over goes to the first ones.
      generator: as of `DataLoader`.

    Raises:
      ValueError: lengths sum to something else than the length of the data set, or shares to more than 1.
    """
    n = len(dataset)
    counts = [int(x) for x in lengths]
    if sum(lengths) <= 1 + 1e-9 and n != sum(counts):
        counts = [math.floor(n * share) for share in lengths]
        if math.isclose(sum(lengths), 1):
            for i in range(n - sum(counts)):
                counts[i % len(counts)] += 1
    elif sum(counts) != n:
        raise ValueError(f"random_split: lengths must sum to {n}, the data set's length, got {sum(lengths)}.")
    order = permutation(n, generator)
    ends = np.cumsum([0, *counts]).tolist()
    return [Subset(dataset, order[a:b]) for a, b in itertools.pairwise(ends)]
