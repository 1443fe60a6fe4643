"""What is remembered, and forgetting it."""

from __future__ import annotations

from .._ground._sites import clear_sites
from .._ground._stats import CacheInfo, stats
from .._operation import _numpy
from .._operation._call import clear_calls
from .._path._trace import local
from .._program._compiler import compiler
from .._program._program import clear_programs, remembered
from .._segment._flush import flush
from .._tensor._lift import clear_lifted


def cache_info() -> CacheInfo:
    """Counters of what was recorded, reused and compiled, and the size of what is remembered; see CacheInfo."""
    programs, size = remembered()
    held = {
        "programs": programs, "states": local.trace.tries.size, "bytes": size, "waiting": compiler.waiting(),
    }  # fmt: skip
    return CacheInfo(
        **{name: held[name] if name in held else getattr(stats, name) for name in CacheInfo._fields}
    )


def cache_clear() -> None:
    """Forget all recordings, programs and counters of this process (other threads keep their tries until they end)."""
    flush(local.trace)
    local.trace.forget_all()
    clear_programs()
    clear_calls()
    _numpy.clear()
    clear_lifted()
    clear_sites()
    stats.clear()
