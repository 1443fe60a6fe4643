"""Roles of the fields of a state: what the transformations inside declared, found where their states stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from nablax.core._base import MaskedState
from nablax.core._fields import Field, Fields
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
    first = getattr(body, "first_state", None)
    if isinstance(first, Fields):
        mine = numbered.inner_state if isinstance(body, Rule) and body.mask else numbered
        for name, field in first.roles.items():
            for i in jax.tree.leaves(getattr(mine, name)) if field.role != "inner" else ():
                roles[i] = field.role
    states = body.states(numbered)
    for name, child in body.children.items():
        _fill(child, states.get(name), roles)


def map_fields(tx: Any, state: Any, change: Callable[[Field, Any], Any]) -> Any:
    """The state with its declared fields changed, also those of transformations inside.

    Args:
      tx: a transformation; the states of those of other libraries stay as they are.
      state: its state.
      change: `change(field, value)` returns what shall stand there; it is not asked for inner states.
    """
    body: Any = body_of(tx)
    if body is None:
        return state
    if isinstance(body, Rule) and body.mask:
        return MaskedState(_changed(body.first_state, state.inner_state, change))
    state = _changed(body.first_state, state, change) if hasattr(body, "first_state") else state
    inner = {
        name: map_fields(body.children[name], child, change) for name, child in body.states(state).items()
    }
    return body.with_states(state, inner) if inner else state


def _changed(first_state: Any, state: Any, change: Callable[[Field, Any], Any]) -> Any:
    if not isinstance(first_state, Fields):
        return state
    own = {name: field for name, field in first_state.roles.items() if field.role != "inner"}
    return state._replace(**{name: change(field, getattr(state, name)) for name, field in own.items()})
