"""What each leaf of a state is called.

A name is made of the names of the calls, of the field, and of the leaf's path: `adamw/mu/layers/0/kernel`, beside
`adamw/learning_rate`. So it outlives another order of a chain and another layout of files. What a function puts
together itself has no name of its own there; where two of its parts have a field of one name, the later one speaks for
itself: `adamw/count`, `adamw/scale_by_learning_rate/count`. States of other libraries go by their classes:
`ScaleByAdamState/mu/layers/0/kernel`.
"""

from __future__ import annotations

import collections
from typing import Any, NamedTuple

import jax

from nablax.core._fields import Fields
from nablax.core._kinds import TRANSFORMATION, refusing
from nablax.core._parts import KeyPath, Part, join, parts, path_name, unique
from nablax.core._rule import Rule


class StateLeaf(NamedTuple):
    """A leaf of a state.

    Attributes:
      name: `adamw/mu/layers/0/kernel`; no two leaves of a state share one.
      field: `adamw/mu`.
      path: where its part's call stands: `adamw`.
      param: the name of the leaf of the parameters that it belongs to: `layers/0/kernel`; None for what belongs to all.
    """

    name: str
    field: str
    path: str
    param: str | None


class _Mark:
    """Stands for one leaf of a state."""

    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index


@refusing(tx=TRANSFORMATION)
def state_leaves(tx: Any, state: Any, params: Any = None) -> list[StateLeaf]:
    """What each leaf of a state is called, and whom it belongs to, in the order of `jax.tree.leaves(state)`.

    Args:
      tx: the transformation.
      state: its state, of arrays or shapes.
      params: the parameters, or their shapes; without them no leaf knows its `param`.

    Example:
      >>> from nablax.core import count, fields, first_moment, leafwise
      >>> import jax.numpy as jnp
      >>> from typing import Any, NamedTuple
      >>> class Momentum(NamedTuple):
      ...     count: Any
      ...     mu: Any
      >>> def heavy_ball(g, mu):
      ...     return g + mu, g + mu
      >>> tx = leafwise(heavy_ball, fields(Momentum, count=count(), mu=first_moment()))
      >>> [leaf.name for leaf in state_leaves(tx, tx.init({"w": jnp.ones(2)}))]
      ['heavy_ball/count', 'heavy_ball/mu/w']
    """
    leaves, treedef = jax.tree.flatten(state)
    marks = jax.tree.unflatten(treedef, map(_Mark, range(len(leaves))))
    taken: dict[str, set[str]] = collections.defaultdict(set)  # by path, the fields that have a name there
    found: list[Any] = [None] * len(leaves)
    for part in parts(tx, params, marks):
        own = [(_steps(part, path), path, mark.index) for path, mark in _with_paths(part.state)]
        fields = {steps[0] for steps, _, _ in own if steps}
        prefix = join(part.path, part.label) if fields & taken[part.path] else part.path
        taken[part.path] |= fields
        where = _Places(part)
        for steps, path, index in own:
            start, param = where(path)
            field = join(prefix, *(_steps(part, path[:start]) or steps))
            found[index] = StateLeaf(join(prefix, *steps), field, part.path, param)
    names = unique(leaf.name for leaf in found)
    return [leaf._replace(name=name) for leaf, name in zip(found, names, strict=True)]


def _with_paths(tree: Any) -> Any:
    return jax.tree_util.tree_leaves_with_path(tree)


def _steps(part: Part, path: KeyPath) -> list[str]:
    """The steps of a leaf's name below its part."""
    if isinstance(part.body, Rule) or getattr(part.body, "children", None):
        return [path_name((key,)) for key in path]
    # Nothing is known of what stands inside: classes tell the links of a chain apart.
    steps: list[str] = []
    node, called = part.state, type(part.state).__name__ if part.body is None else ""
    for key in path:
        if hasattr(node, "_fields"):
            steps += [called, key.name]
            node, called = getattr(node, key.name), ""
        elif isinstance(node, tuple | list):
            called = unique(type(child).__name__ for child in node)[key.idx]
            node = node[key.idx]
            steps += [] if hasattr(node, "_fields") else [str(key.idx)]
        else:
            steps.append(path_name((key,)))
            node = (
                node[key.key] if hasattr(key, "key") else getattr(node, str(getattr(key, "name", "")), None)
            )
            called = ""
    return [step for step in steps if step]


class _Places:
    """Finds the leaf of the parameters that a leaf of a part's state belongs to: the one whose path is in its path."""

    def __init__(self, part: Part):
        self._known = {} if part.leaves is None else dict(_with_paths(part.leaves))
        roles = getattr(part.body, "first_state", None)
        self._roles = roles.roles if isinstance(roles, Fields) else {}

    def __call__(self, path: KeyPath) -> tuple[int, str | None]:
        """Where the path of the parameter begins, and its name; the end and None without one."""
        role = self._roles.get(getattr(path[0], "name", "")) if path else None
        if role is None or role.per_leaf:
            spans = ((start, end) for end in range(len(path), -1, -1) for start in range(end + 1))
            for start, end in spans:
                if path[start:end] in self._known:
                    return start, self._known[path[start:end]]
        return len(path), None
