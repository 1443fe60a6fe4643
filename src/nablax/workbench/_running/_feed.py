"""Batches, stretch by stretch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from nablax.core import ArgumentError, NablaxError

from .._problems import Problem


def feed(problem: Problem, keys: Any, length: int) -> Iterator[Any]:
    """The batches of each stretch, stacked (seeds, length, ...), where the problem gives passes; else nothing."""
    if not problem.streams:
        while True:
            yield None
    streams = [_endless(problem, key) for key in keys]
    while True:
        try:
            taken = [[next(stream) for _ in range(length)] for stream in streams]
        except NablaxError:
            raise
        except Exception as error:
            raise ArgumentError(f"{problem.source}: batches(key): {type(error).__name__}: {error}") from error
        try:
            yield jax.tree.map(
                lambda *leaves: np.stack(leaves), *(jax.tree.map(lambda *b: np.stack(b), *bs) for bs in taken)
            )
        except ValueError as error:
            raise ArgumentError(
                f"{problem.source}: batches(key): all batches must have one shape (leave a smaller one at the end out: "
                f"a loader's drop_last=True): {error}"
            ) from None


def _endless(problem: Problem, key: Any) -> Iterator[Any]:
    """The batches of one pass after the other; each pass has a key of its own."""
    passes = 0
    while True:
        before = passes
        for batch in problem.batches(jax.random.fold_in(key, passes)):
            passes = before + 1
            yield jax.tree.map(np.asarray, batch)
        if passes == before:
            raise ArgumentError(f"{problem.source}: batches(key): the iterator is empty.")
