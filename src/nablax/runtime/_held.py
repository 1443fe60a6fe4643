"""What an optimizer owns, as its step takes it: one flat list of arrays, and trees where somebody looks.

A list crosses the border of a compiled program faster than nested tuples do, by a fifth of a small step. The program
belongs to one layout, and gives a list back; where an update changes the structure of what is held, a `Held`.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Arrangement:
    """How a tuple of trees lies in one list. There is one for each structure, so that equal ones are identical."""

    __slots__ = ("__weakref__", "parts")

    def __init__(self, treedefs: tuple[Any, ...]):
        ends = list(itertools.accumulate((d.num_leaves for d in treedefs), initial=0))
        self.parts = list(zip(treedefs, map(slice, ends, ends[1:]), strict=True))


_ARRANGEMENTS: weakref.WeakValueDictionary[Any, Arrangement] = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


class Held:
    """A tuple of trees; itself a pytree, whose children are the arrays.

    Attributes:
      arrangement: where the trees are in the list.
      leaves: the arrays of all trees, in order.
    """

    __slots__ = ("_trees", "arrangement", "leaves")

    def __init__(self, arrangement: Arrangement, leaves: list[Any]):
        self.arrangement, self.leaves = arrangement, leaves
        self._trees: dict[int, Any] = {}

    @classmethod
    def of(cls, *trees: Any) -> Held:
        """What holds these trees."""
        flat = [jax.tree.flatten(tree) for tree in trees]
        treedefs = tuple(treedef for _, treedef in flat)
        with _LOCK:
            found = _ARRANGEMENTS.get(treedefs)
            if found is None:
                found = _ARRANGEMENTS[treedefs] = Arrangement(treedefs)
        return cls(found, [x for leaves, _ in flat for x in leaves])

    def __getitem__(self, i: int) -> Any:
        """One of the trees, put together when it is read first."""
        tree = self._trees.get(i, self)
        if tree is self:
            treedef, where = self.arrangement.parts[i]
            tree = self._trees[i] = treedef.unflatten(map(_shown, self.leaves[where]))
        return tree


def _shown(leaf: Any) -> Any:
    """A leaf as JAX's array; a step that ran by NumPy leaves NumPy's."""
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


jax.tree_util.register_pytree_node(
    Held,
    lambda held: (held.leaves, held.arrangement),
    lambda arrangement, leaves: Held(arrangement, list(leaves)),
)
