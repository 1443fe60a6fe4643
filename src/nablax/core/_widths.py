"""The dtypes that updates ought to have at the end of a chain, along which they are wide."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._compiled import cast
from nablax.tree import is_none


def _leaves(tree: Any) -> list[Any]:
    return jax.tree.leaves(tree, is_leaf=is_none)


def dtypes_of(updates: Any) -> list[Any]:
    """The dtype of each leaf; None where there is none."""
    return [None if g is None else jnp.result_type(g) for g in _leaves(updates)]


def dtypes_after(dtypes: list[Any], before: Any, after: Any, params: Any) -> list[Any]:
    """The dtypes that updates ought to have after a link that is no rule: its own widening, and the parameters'."""
    old, new = dtypes_of(before), dtypes_of(after)
    if len(new) != len(dtypes):
        return new
    known = dtypes_of(params) if params is not None else []
    known = known if len(known) == len(new) else [None] * len(new)
    out = []
    for dtype, was, now, param in zip(dtypes, old, new, known, strict=True):
        for other in (now if now != was else None, param):
            if dtype is not None and other is not None and jnp.issubdtype(other, jnp.inexact):
                dtype = jnp.promote_types(dtype, other)
        out.append(dtype)
    return out


def narrowed(updates: Any, dtypes: list[Any]) -> Any:
    """Updates of these dtypes."""
    treedef: Any
    leaves, treedef = jax.tree.flatten(updates, is_leaf=is_none)
    return treedef.unflatten([None if u is None else cast(u, d) for u, d in zip(leaves, dtypes, strict=True)])
