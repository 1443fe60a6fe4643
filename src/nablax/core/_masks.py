"""Masks: which leaves a transformation works on, decided once, on the parameters, at `init`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nablax.core._base import MaskedNode
from nablax.core._errors import ArgumentError, MissingParamsError, StructureError
from nablax.tree import is_params_placeholder


def _is_none(x: Any) -> bool:
    return x is None


def hide(tree: Any, flags: Sequence[bool], like: Any) -> Any:
    """A tree with `MaskedNode()` where the flag is False.

    Args:
      tree: tree of the structure of `like`; where `like` has a leaf, it may have more below.
      flags: one bool for each leaf of `like`, None counted.
      like: the tree that `flags` speaks of.
    """
    treedef: Any = jax.tree.structure(like, is_leaf=_is_none)
    parts = treedef.flatten_up_to(tree)
    return treedef.unflatten([x if on else MaskedNode() for x, on in zip(parts, flags, strict=True)])


def merge(new: Any, old: Any, flags: Sequence[bool]) -> Any:
    """The leaves of `new` where the flag is True, those of `old` elsewhere."""
    treedef: Any
    leaves, treedef = jax.tree.flatten(old, is_leaf=_is_none)
    parts = zip(treedef.flatten_up_to(new), leaves, flags, strict=True)
    return treedef.unflatten([n if on else o for n, o, on in parts])


class Mask:
    """A tree of bools, or a function of the parameters that returns one.

    A function is asked once for each structure of parameters, at `init`: asking it again on updates would let a mask
    that looks at dtypes switch leaves in the middle of a run, because gradients may have other dtypes than parameters.

    Args:
      mask: tree of bools with the structure of params, or a prefix of it, or a function from params to one.
      who: the transformation that speaks in errors.
    """

    def __init__(self, mask: Any, who: str):
        self.mask = mask
        self.who = who
        self._known: dict[Any, tuple[bool, ...] | None] = {}

    def flags(self, updates: Any, params: Any = None, remember: bool = False) -> tuple[bool, ...]:
        """One bool for each leaf of `updates`, in order; None counts as a leaf.

        Args:
          updates: tree of updates, or of parameters at init.
          params: the parameters, where update() got them.
          remember: keep what the function answered for this structure.

        Raises:
          StructureError: the mask does not fit the tree.
          MissingParamsError: the mask is a function, this structure was not seen by init, and params is None.
        """
        treedef = jax.tree.structure(updates, is_leaf=_is_none)
        if not callable(self.mask):
            if treedef not in self._known:
                self._known[treedef] = self._spread(self.mask, updates)
            return self._known[treedef]  # type: ignore[return-value]
        if remember:
            flags = self._spread(self.mask(updates), updates)
            # Two trees of one structure that the function treats differently: ask again, on params, at update.
            self._known[treedef] = flags if self._known.get(treedef, flags) == flags else None
            return flags
        known = self._known.get(treedef)
        if known is not None:
            return known
        if params is None:
            raise MissingParamsError(
                f"{self.who}: the mask is a function of the parameters, which init() of this transformation has not "
                "seen with this structure, and update() got params=None. Call update(gradients, state, params)."
            )
        return self._spread(self.mask(params), updates)

    def apply(self, tree: Any, params: Any = None, remember: bool = False) -> Any:
        """The tree with `MaskedNode()` for each leaf left out; what `tree.map_params` puts in its place passes."""
        if is_params_placeholder(tree):
            return tree
        return hide(tree, self.flags(tree, params, remember), tree)

    def _spread(self, mask: Any, tree: Any) -> tuple[bool, ...]:
        def under(flag: Any, subtree: Any) -> list[bool]:
            flag = False if flag is None else flag
            if not isinstance(flag, bool | np.bool_):
                raise ArgumentError(
                    f"{self.who}: a mask holds Python bools, got {type(flag).__name__}: {flag!r}."[:300]
                )
            return [bool(flag)] * len(jax.tree.leaves(subtree, is_leaf=_is_none))

        try:
            lists = jax.tree.map(under, mask, tree, is_leaf=_is_none)
        except ValueError as e:
            raise StructureError(
                f"{self.who}: the mask must be a tree of bools with the structure of the parameters, or a prefix of "
                f"it. {e}"
            ) from e
        return tuple(jax.tree.leaves(lists))


MaskOrFn = Any | Callable[[Any], Any]
