"""Roles of the leaves of a state: what the transformations inside declared, found where their states stand."""

from __future__ import annotations

from typing import Any

import jax

from nablax.core._fields import Fields
from nablax.core._rule import Rule
from nablax.core._value import body_of


def leaf_roles(tx: Any, state: Any) -> list[str | None]:
    """The role of each leaf of a state, such as "count" or "first_moment".

    Args:
      tx: a transformation.
      state: its state, or the shapes of one.

    Returns:
      One a leaf, in their order; None where nobody declared it: in states of wrappers, and of other libraries.
    """
    treedef: Any
    leaves, treedef = jax.tree.flatten(state)
    roles: list[Any] = [None] * len(leaves)
    _fill(tx, treedef.unflatten(range(len(leaves))), roles)
    return roles


def _fill(tx: Any, numbered: Any, roles: list[Any]) -> None:
    body: Any = body_of(tx)
    if body is None or numbered is None:
        return
    if isinstance(body, Rule):
        first = body.first_state
        mine = numbered.inner_state if body.mask else numbered
        for name, field in first.roles.items() if isinstance(first, Fields) else ():
            for i in jax.tree.leaves(getattr(mine, name)):
                roles[i] = field.role
    states = body.states(numbered)
    for name, child in body.children.items():
        _fill(child, states.get(name), roles)
