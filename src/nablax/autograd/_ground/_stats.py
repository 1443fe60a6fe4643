"""Counters of what was recorded, reused and compiled."""

from __future__ import annotations

from typing import NamedTuple


class CacheInfo(NamedTuple):
    """What nablax.autograd has done since the start, or since `cache_clear()`, and what it remembers.

    segments: recordings run.  hits: of these, by a compiled program.  interpreted: of these, by the first tier.
    compilations: programs compiled, forward and backward.  loaded: programs and kernels that were read from
    disk (see `disk_cache`).  operations: kernels of single operations made for the first tier.  cuts: recordings cut
    because they reached `max_segment`.  inferences: operations traced.
    programs: structures that are remembered, of all threads.  states: places in the recordings of this thread.
    bytes: machine code and constants that programs hold, as far as XLA tells.  waiting: programs that the compiler has
    still to compile.
    """

    segments: int
    hits: int
    compilations: int
    loaded: int
    operations: int
    interpreted: int
    cuts: int
    inferences: int
    programs: int
    states: int
    bytes: int
    waiting: int


class Stats:
    """The counters themselves; see CacheInfo."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.segments = self.hits = self.compilations = self.loaded = self.operations = 0
        self.interpreted = self.cuts = self.inferences = 0


stats = Stats()
