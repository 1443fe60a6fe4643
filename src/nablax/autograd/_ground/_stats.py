"""Counters of what was recorded, reused and compiled."""

from __future__ import annotations

from typing import NamedTuple


class CacheInfo(NamedTuple):
    """What the caches of nablax.autograd have done since the start, or since `cache_clear()`.

    segments: recordings run.  hits: of these, by a program compiled before.  compilations: whole-segment programs
    compiled, forward and backward.  operations: programs compiled for single operations (the first tier).
    interpreted: segments run operation by operation.  cuts: recordings cut because they reached `max_segment`.
    inferences: abstract evaluations of an operation.
    """

    segments: int
    hits: int
    compilations: int
    operations: int
    interpreted: int
    cuts: int
    inferences: int


class Stats:
    """The counters themselves; see CacheInfo."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.segments = self.hits = self.compilations = self.operations = 0
        self.interpreted = self.cuts = self.inferences = 0

    def info(self) -> CacheInfo:
        return CacheInfo(*(getattr(self, name) for name in CacheInfo._fields))


stats = Stats()


def cache_info() -> CacheInfo:
    """Counters of segments run, programs reused and programs compiled. See CacheInfo for each."""
    return stats.info()
