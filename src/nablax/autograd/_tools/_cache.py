"""Forgetting what was compiled."""

from __future__ import annotations

from . import _numpy
from ._call import clear_calls
from ._lift import clear_lifted
from ._program import clear_programs
from ._segment import flush
from ._sites import clear_sites
from ._stats import stats
from ._trace import local


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
