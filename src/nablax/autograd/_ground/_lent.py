"""Arrays that left our hands.

A buffer may be seen through views that hold no reference to their array (a shard, a NumPy view, DLPack), so no count of
references can tell that it is ours alone: an array that was handed out, or that came from outside, is never donated.
"""

from __future__ import annotations

from typing import Any

import jax


def lend(value: Any) -> Any:
    """Mark an array as seen outside; returns it."""
    if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
        value._nablax_lent = True  # type: ignore[attr-defined]
    return value


def is_lent(value: Any) -> bool:
    """Whether an array may be seen from outside."""
    return hasattr(value, "_nablax_lent")
