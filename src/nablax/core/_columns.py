"""What a pass takes of trees, leaf by leaf: the parameters, and the fields of states; and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._base import MaskedNode
from nablax.core._errors import StructureError
from nablax.core._plan import is_masked_node
from nablax.tree import is_none, path_str


class Columns:
    """The fields of one state that a rule takes, leaf by leaf; leaves that a mask hides have none."""

    def __init__(self, rule: Any, state: Any, updates: Any, leaves: Any, treedef: Any, mask: Any, flags: Any):
        self._names, self._state, self._treedef = rule.wiring.fields, state, treedef
        self._where = list(range(len(leaves)))
        if mask is not None and self._names:
            updates = rule.mask.hide(updates, mask)
            self._treedef = jax.tree.structure(updates, is_leaf=is_none)
            self._where = [i for i, on in enumerate(flags) if on]
        self._columns = []
        for name in self._names:
            column: list[Any] = [None] * len(leaves)
            found = align(self._treedef, updates, getattr(state, name), f"state.{name}", rule)
            for i, x in zip(self._where, found, strict=True):
                column[i] = x
            self._columns.append(column)

    def row(self, i: int) -> list[Any]:
        return [column[i] for column in self._columns]

    def put(self, i: int, new: Sequence[Any]) -> None:
        for column, x in zip(self._columns, new, strict=True):
            column[i] = x

    def state(self) -> Any:
        if not self._names:
            return self._state
        trees = [self._treedef.unflatten([column[i] for i in self._where]) for column in self._columns]
        return self._state._replace(**dict(zip(self._names, trees, strict=True)))


def other_dtypes(treedef: Any, leaves: list[Any], params: Any) -> list[Any]:
    """The parameters' dtypes where they are others than the updates'; they only say how wide an update may be."""
    try:
        found = treedef.flatten_up_to(params) if params is not None else []
    except (ValueError, TypeError):
        found = []
    out: list[Any] = [None] * len(leaves)
    for i, (g, p) in enumerate(zip(leaves, found, strict=False)):
        dtype = getattr(p, "dtype", None)
        if g is not None and dtype is not None and dtype != getattr(g, "dtype", None):
            out[i] = dtype
    return out


def align(treedef: Any, updates: Any, tree: Any, what: str, rule: Any) -> list[Any]:
    """The part of a tree that belongs to each leaf of the updates."""
    try:
        return list(treedef.flatten_up_to(tree))
    except (ValueError, TypeError) as e:
        ours: Any = jax.tree.map(
            lambda x: MaskedNode() if is_masked_node(x) else x, tree, is_leaf=is_masked_node
        )
        found: Any = jax.tree.structure(ours)
        if found != jax.tree.structure(tree):  # a state that Optax made
            return align(treedef, updates, ours, what, rule)
        mine = dict(jax.tree.flatten_with_path(updates, is_leaf=is_none)[0])
        theirs = dict(jax.tree.flatten_with_path(tree, is_leaf=is_none)[0])
        for path in [*mine, *theirs]:
            if (path in mine) != (path in theirs):
                missing = what if path in mine else "updates"
                where = f"differ at {path_str(path)}: {missing} has no such leaf"
                break
        else:
            where = f"have different containers: {e}"
        raise StructureError(f"{rule.name}: updates and {what} {where}.") from e


def misfit(rules: Sequence[Any], rows: list[Any], members: list[int], updates: Any) -> str | None:
    """Names the leaf and the array whose shape does not fit, where that is why a rule failed."""
    for (g, param, columns), i in zip(rows, members, strict=True):
        named = [("params", param, rules[0])]
        for rule, fields in zip(rules, columns, strict=True):
            named += [
                (f"state.{n}", x, rule)
                for n, x in zip(rule.wiring.fields, fields, strict=True)
                if n in rule.shaped
            ]
        for what, x, rule in named:
            if x is not None and not jax.tree_util.all_leaves([x]):
                path = jax.tree.flatten_with_path(updates, is_leaf=is_none)[0][i][0]
                kind = type(x).__name__
                return f"{rule.name}: updates and {what} differ at {path_str(path)}: {what} has {kind} there."
            if hasattr(x, "shape") and x.shape != jnp.shape(g):
                path = jax.tree.flatten_with_path(updates, is_leaf=is_none)[0][i][0]
                return (
                    f"{rule.name}: updates and {what} differ at {path_str(path)}: shape {jnp.shape(g)} against "
                    f"{x.shape}."
                )
    return None
