"""Masks: which leaves a transformation works on, decided once, on the parameters, at `init`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nablax.core._base import MaskedNode
from nablax.core._errors import ArgumentError, MissingParamsError, StructureError
from nablax.tree import is_params_placeholder
from nablax.tree._traverse import is_none


def hide(tree: Any, flags: Sequence[bool], like: Any) -> Any:
    """A tree with `MaskedNode()` where the flag is False.

    Args:
      tree: tree of the structure of `like`; where `like` has a leaf, it may have more below.
      flags: one bool for each leaf of `like`, None counted.
      like: the tree that `flags` speaks of.
    """
    treedef: Any = jax.tree.structure(like, is_leaf=is_none)
    parts = treedef.flatten_up_to(tree)
    return treedef.unflatten([x if on else MaskedNode() for x, on in zip(parts, flags, strict=True)])


def merge(new: Any, old: Any, flags: Sequence[bool]) -> Any:
    """The leaves of `new` where the flag is True, those of `old` elsewhere."""
    treedef: Any
    leaves, treedef = jax.tree.flatten(old, is_leaf=is_none)
    parts = zip(treedef.flatten_up_to(new), leaves, flags, strict=True)
    return treedef.unflatten([n if on else o for n, o, on in parts])


class PerLeaf:
    """A value for each leaf: a tree of values, or a function of the parameters that returns one.

    A function is asked once for each structure of parameters, at `init`: asking it again on updates would let labels
    that look at dtypes change in the middle of a run, because gradients may have other dtypes than parameters.

    Args:
      source: tree of values with the structure of params, or a prefix of it, or a function from params to one.
      who: the transformation that speaks in errors.
    """

    kind = "labels"
    form = "a tree"

    def __init__(self, source: Any, who: str):
        self.source = source
        self.who = who
        self._known: dict[Any, tuple[Any, ...] | None] = {}

    def check(self, value: Any) -> Any:
        """The value as it is meant; raises where it is none."""
        return value

    def values(self, updates: Any, params: Any = None, remember: bool = False) -> tuple[Any, ...]:
        """One value for each leaf of `updates`, in order; None counts as a leaf.

        Args:
          updates: tree of updates, or of parameters at init.
          params: the parameters, where update() got them.
          remember: keep what the function answered for this structure.

        Raises:
          StructureError: the tree of values does not fit.
          MissingParamsError: the source is a function, this structure was not seen by init, and params is None.
        """
        if is_params_placeholder(updates):
            return ()  # `tree.map_params` puts a node without leaves in place of all of them
        treedef = jax.tree.structure(updates, is_leaf=is_none)
        if not callable(self.source):
            if treedef not in self._known:
                self._known[treedef] = self._spread(self.source, updates)
            return self._known[treedef]  # type: ignore[return-value]
        if remember:
            values = self._spread(self.source(updates), updates)
            # Two trees of one structure that the function treats differently: ask again, on params, at update.
            self._known[treedef] = values if self._known.get(treedef, values) == values else None
            return values
        known = self._known.get(treedef)
        if known is not None:
            return known
        if params is None:
            raise MissingParamsError(
                f"{self.who}: the {self.kind} come from a function of the parameters, which init() of this "
                "transformation has not seen with this structure, and update() got params=None. Call "
                "update(gradients, state, params)."
            )
        return self._spread(self.source(params), updates)

    def _spread(self, source: Any, like: Any) -> tuple[Any, ...]:
        values: list[Any] = []

        def under(value: Any, subtree: Any) -> None:
            values.extend([self.check(value)] * len(jax.tree.leaves(subtree, is_leaf=is_none)))

        try:
            jax.tree.map(under, source, like, is_leaf=is_none)
        except ValueError as e:
            raise StructureError(
                f"{self.who}: the {self.kind} must be {self.form} with the structure of the parameters, or a prefix "
                f"of it. {e}"
            ) from e
        return tuple(values)


class Mask(PerLeaf):
    """Which leaves to work on: a tree of bools, or a function of the parameters that returns one."""

    kind = "mask"
    form = "a tree of bools"

    def check(self, value: Any) -> bool:
        value = False if value is None else value
        if not isinstance(value, bool | np.bool_):
            raise ArgumentError(
                f"{self.who}: a mask holds Python bools, got {type(value).__name__}: {value!r}."[:300]
            )
        return bool(value)

    def flags(self, updates: Any, params: Any = None, remember: bool = False) -> tuple[bool, ...]:
        """One bool for each leaf; see `values`."""
        return self.values(updates, params, remember)

    def apply(self, tree: Any, params: Any = None, remember: bool = False) -> Any:
        """The tree with `MaskedNode()` for each leaf left out; what `tree.map_params` puts in its place passes."""
        return hide(tree, self.flags(tree, params, remember), tree)


MaskOrFn = Any | Callable[[Any], Any]
