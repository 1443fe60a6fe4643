"""The last step: parameters plus updates."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# `typing.get_type_hints` looks here for the ArrayTree that Params and Updates name.
from nablax.core._base import ArrayTree, Params, Updates, with_extra_args_support  # noqa: F401
from nablax.core._chain import Chain, label_of
from nablax.core._checks import COUNT
from nablax.core._errors import StructureError
from nablax.core._kinds import ARRAY, ARRAYS
from nablax.core._leaves import map_leaves
from nablax.core._numerics import widened
from nablax.core._program import Program
from nablax.core._split import whole
from nablax.core._value import body_of
from nablax.tree import is_none, manual_axes, reach_now


def _add(row: Any, shared: Any) -> Any:
    p, u = (jnp.asarray(x) for x in row)
    if p.shape != u.shape:
        u = _broadcast(u, p.shape)
    if p.dtype == u.dtype and jnp.issubdtype(p.dtype, jnp.inexact):
        return lax.add(p, u)
    return (p + u).astype(p.dtype)


def _broadcast(u: Any, shape: tuple[int, ...]) -> Any:
    ends = zip(reversed(u.shape), reversed(shape), strict=False)
    if u.ndim > len(shape) or any(n not in (1, m) for n, m in ends):
        raise StructureError(f"shape {shape} against {u.shape}")
    return jnp.broadcast_to(u, shape)


_ADD = Program(_add, "apply_updates")


def apply_updates(params: Params, updates: Updates) -> Params:
    """params + updates, leaf by leaf, in the dtypes of the parameters.

    Args:
      params: tree of arrays.
      updates: tree of the same structure, of the same shapes or shapes that broadcast to them; where it has None, the
        parameter stays as it is.

    Returns:
      Tree of the structure, shapes and dtypes of params.

    Raises:
      StructureError: the trees, or the shapes of a leaf, differ.

    Example:
      >>> import jax.numpy as jnp
      >>> apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([1.0, -1.0])})["w"]
      Array([2., 0.], dtype=float32)
    """
    moved, treedef = map_leaves(_ADD, params, updates, what="params and updates", partial=True)
    leaves = jax.tree.leaves(params, is_leaf=is_none)
    return treedef.unflatten([p if new is None else new for p, new in zip(leaves, moved, strict=True)])


class Advanced(NamedTuple):
    """What one step of a transformation came to.

    Attributes:
      params: after the step; None where the caller adds the updates by hand.
      state: after the step.
      updates: as wide as they were computed; by hand, those to add.
      point: the parameters before they were rounded to their dtypes; None where that is `params + updates`.
    """

    params: Params
    state: Any
    updates: Updates
    point: Any

    def reached(self, params: Params) -> Params:
        """The parameters after the step, at least float32, from those before it."""
        return apply_updates(widened(params), self.updates) if self.point is None else self.point


def advanced(
    tx: Any, updates: Updates, state: Any, params: Params, extra: dict[str, Any], by_hand: bool = False
) -> Advanced:
    """One step: the transformation, and its updates applied as wide as they were computed.

    A transformation that decides on the parameters itself (`core.moving`), alone or at the end of a chain, is asked.

    Args:
      tx: a transformation.
      updates: gradients.
      state: its state.
      params: the parameters.
      extra: extra arguments of `update`; those that a transformation of another library does not name are dropped.
      by_hand: the caller will add the updates to the parameters.
    """
    if manual_axes() and reach_now() is None:
        with whole(label_of(tx) or "chain"):
            return advanced(tx, updates, state, params, extra, by_hand)
    body: Any = body_of(tx)
    if isinstance(body, Chain) and body.moves:
        *names, last = body.children
        states = body.states(state)
        if names:
            head = tuple(states[name] for name in names)
            updates, head = body.head.update_wide(updates, head, params, extra)
            states = {**dict(zip(names, head, strict=True)), last: states[last]}
        done = advanced(body.children[last], updates, states[last], params, extra, by_hand)
        return done._replace(state=body.with_states(state, {**states, last: done.state}))
    if getattr(body, "moves", False):
        return body.advance(updates, state, params, extra, by_hand)
    if by_hand:
        updates, state = with_extra_args_support(tx).update(updates, state, params, **extra)
        return Advanced(None, state, updates, None)
    wide = getattr(body, "update_wide", None)
    if wide is not None:
        updates, state = wide(updates, state, params, extra)
    else:
        updates, state = with_extra_args_support(tx).update(updates, state, params, **extra)
    return Advanced(apply_updates(params, updates), state, updates, None)


def advance(
    tx: Any, updates: Updates, state: Any, params: Params, extra: dict[str, Any]
) -> tuple[Params, Any, Updates]:
    """One step of `advanced`: the new parameters, the new state, and the updates."""
    return advanced(tx, updates, state, params, extra)[:3]


def incremental_update(new_tensors: Params, old_tensors: Params, step_size: Any) -> Params:
    """step_size * new + (1 - step_size) * old: Polyak averaging of two sets of parameters.

    Args:
      new_tensors: tree of arrays.
      old_tensors: tree of the same structure; its dtypes, integers included, are kept.
      step_size: in [0, 1]; a number or a traced number.

    Source: Polyak & Juditsky 1992, doi:10.1137/0330046.
    """

    for name, given in (("new_tensors", new_tensors), ("old_tensors", old_tensors), ("step_size", step_size)):
        ARRAYS("incremental_update", name, given)

    def leaf(new: Any, old: Any) -> Any:
        if new is None:
            return None
        old = jnp.asarray(old)
        return (step_size * new + (1.0 - step_size) * old).astype(old.dtype)

    return jax.tree.map(leaf, new_tensors, old_tensors, is_leaf=is_none)


def periodic_update(new_tensors: Params, old_tensors: Params, steps: Any, update_period: int) -> Params:
    """The new parameters where `steps` is a multiple of `update_period`, the old ones otherwise.

    Args:
      new_tensors, old_tensors: trees of the same structure, shapes and dtypes.
      steps: count of steps so far, an integer or an integer array of shape ().
      update_period: steps between two updates, >= 1.
    """
    ARRAY("periodic_update", "steps", steps)
    COUNT("periodic_update", "update_period", update_period)
    return lax.cond(jnp.mod(steps, update_period) == 0, lambda _: new_tensors, lambda _: old_tensors, None)
