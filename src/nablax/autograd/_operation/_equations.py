"""Which equations of a traced function are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.core import Var


def needed(eqns: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
    """The equations that some variables depend on, in order; those with effects, too."""
    wanted = {v for v in outs if isinstance(v, Var)}
    found = []
    for e in reversed(eqns):
        if e.effects or any(v in wanted for v in e.outvars):
            found.append(e)
            wanted.update(v for v in e.invars if isinstance(v, Var))
    found.reverse()
    return found
