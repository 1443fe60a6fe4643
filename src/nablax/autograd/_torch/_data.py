"""Batches of a data set: torch.utils.data, as far as one process goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._path._recorded import Recorded
from .._segment._flush import realize
from .._tensor._namespaces import numpy
from .._tensor._tensor import tensor
from .._tensor._torch._random import Generator
from ._datasets import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from ._samplers import (
    SAMPLERS,
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    batched,
    positive,
)


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples as one batch: tensors, arrays and numbers stacked to a tensor; within tuples, lists and dicts, each."""
    first = batch[0]
    if isinstance(first, Recorded):
        return numpy.stack(list(batch))
    if isinstance(first, np.ndarray | np.generic | int | float | complex):
        return tensor(np.stack(batch) if isinstance(first, np.ndarray | np.generic) else list(batch))
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple | list) and len({len(sample) for sample in batch}) > 1:
        lengths = ", ".join(str(len(sample)) for sample in batch[:8])
        raise ValueError(
            f"default_collate: lists of a batch must have one length, got {lengths}; DataLoader takes collate_fn=."
        )
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*map(default_collate, zip(*batch, strict=True)))
    if isinstance(first, tuple | list):
        return [default_collate(column) for column in zip(*batch, strict=True)]
    if isinstance(first, str | bytes):
        return list(batch)
    try:
        return tensor(np.stack([np.asarray(x) for x in batch]))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"default_collate: samples must be tensors, arrays, numbers, strings, or tuples, lists and dicts of them, "
            f"got {type(first).__name__}; DataLoader takes collate_fn=."
        ) from error


def _rows_of(t: Any, rows: np.ndarray) -> Any:
    return t[rows] if t.requires_grad else tensor(np.asarray(realize(t))[rows])


class DataLoader:
    """The batches of a data set; each `iter` goes through all of it once.

    Args:
      dataset: what has `len` and `[i]`, such as a list of pairs; or what is iterable.
      batch_size: samples in a batch; None gives samples as they are.
      shuffle: a new order each time.
      sampler: an iterable of the numbers of samples, in their order.
      batch_sampler: an iterable of lists of numbers: the batches.
      num_workers, pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers,
        pin_memory_device, in_order: ignored; samples are fetched in this process.
      collate_fn: makes a batch of a list of samples; `default_collate` if None.
      drop_last: leave out a last batch that is smaller.
      generator: draws the orders; the one that `manual_seed` starts if None.

    Raises:
      ValueError: batch_size < 1, an order that is given twice, or one for a data set that is iterable alone.

    >>> from nablax import autograd
    >>> from nablax.autograd.utils.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(autograd.arange(5), autograd.arange(5) * 2), batch_size=2)
    >>> [(x.tolist(), y.tolist()) for x, y in loader]
    [([0, 1], [0, 2]), ([2, 3], [4, 6]), ([4], [8])]
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
                 batch_sampler: Any = None, num_workers: int = 0, collate_fn: Callable[[list[Any]], Any] | None = None,
                 pin_memory: bool = False, drop_last: bool = False, timeout: float = 0, worker_init_fn: Any = None,
                 multiprocessing_context: Any = None, generator: Generator | None = None, *,
                 prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "",
                 in_order: bool = True) -> None:  # fmt: skip
        if batch_size is not None:
            batch_size = positive("DataLoader", "batch_size", batch_size)
        self._counted = hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset)
        if not self._counted and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: the data set is iterable alone and comes in its own order; it takes no shuffle=True, "
                "sampler or batch_sampler."
            )
        if shuffle and (sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: shuffle=True and a sampler are two orders; give one.")
        if batch_sampler is not None:
            if sampler is not None or drop_last or batch_size != 1:
                raise ValueError(
                    "DataLoader: batch_sampler says all; give no batch_size, sampler or drop_last."
                )
            batch_size = None
        elif self._counted:
            if sampler is None:
                sampler = (
                    RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
                )
            if batch_size is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn, self.generator, self.num_workers = collate_fn, generator, num_workers

    def __class_getitem__(cls, of: Any) -> Any:
        return cls

    def __iter__(self) -> Iterator[Any]:
        if self.batch_sampler is not None:
            for numbers in self.batch_sampler:
                yield self._rows(list(numbers))
        elif self._counted:
            for i in self.sampler:
                yield self._made(self.dataset[i])
        else:
            size = self.batch_size
            for each in self.dataset if size is None else batched(self.dataset, size, self.drop_last):
                yield self._made(each)

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        if self._counted or self.batch_size is None:
            return len(self.dataset if self.sampler is None else self.sampler)
        return len(BatchSampler(self.dataset, self.batch_size, self.drop_last))

    def _made(self, batch: Any) -> Any:
        if self.collate_fn is not None:
            return self.collate_fn(batch)
        return (
            default_collate(batch) if self.batch_size is not None or self.batch_sampler is not None else batch
        )

    def _rows(self, numbers: list[int]) -> Any:
        """The batch of these samples; rows of tensors are taken at once."""
        dataset: Any = self.dataset
        of = numbers
        while type(dataset) is Subset:
            of, dataset = [dataset.indices[i] for i in of], dataset.dataset
        if type(dataset) is TensorDataset and self.collate_fn is None:
            rows = np.asarray(of)
            return [_rows_of(t, rows) for t in dataset.tensors]
        if hasattr(self.dataset, "__getitems__"):
            return self._made(self.dataset.__getitems__(numbers))
        return self._made([self.dataset[i] for i in numbers])


NAMES: dict[str, Any] = {
    f.__name__: f
    for f in (
        Dataset, IterableDataset, TensorDataset, ConcatDataset, Subset, DataLoader, random_split, default_collate,
    )
} | SAMPLERS  # fmt: skip
