"""The arrays that a traced function holds: copies of them, and their keys."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import Literal

from ._reading import Same, key_of


def own(value: Any) -> Any:
    """What nobody else can change: a copy of a NumPy array, and a jaxpr within another with copies of its own."""
    if type(value) in (tuple, list):
        return type(value)(map(own, value))
    if hasattr(value, "jaxpr") and hasattr(value, "consts"):
        return value.replace(jaxpr=owned(value.jaxpr), consts=list(map(own, value.consts)))
    if hasattr(value, "eqns"):
        return owned(value)
    if isinstance(value, Literal):
        return Literal(own(value.val), value.aval)
    return np.array(value) if isinstance(value, np.ndarray) else value


def owned(jaxpr: Any) -> Any:
    """A jaxpr whose equations hold no array of anybody else's."""
    return jaxpr.replace(
        eqns=[
            e.replace(invars=list(map(own, e.invars)), params={k: own(v) for k, v in e.params.items()})
            for e in jaxpr.eqns
        ]
    )


def constants_of(jaxpr: Any, consts: Sequence[Any] = ()) -> list[Hashable]:
    """Keys of what a jaxpr holds and does not show."""
    found: list[Hashable] = [key_of(c) or Same(c) for c in consts]
    for equation in jaxpr.eqns:
        found += [key_of(v.val) or Same(v.val) for v in equation.invars if hasattr(v, "val")]
        for name, value in equation.params.items():
            for each in value if isinstance(value, tuple | list) else (value,):
                if hasattr(each, "jaxpr") and hasattr(each, "consts"):
                    found += constants_of(each.jaxpr, each.consts)
                elif hasattr(each, "eqns"):
                    found += constants_of(each)
                elif callable(each):
                    found.append((name, Same(each)))
    return found
