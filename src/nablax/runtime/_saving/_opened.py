"""Leaves that lie together in memory, apart in a file: so it does not say whether its optimizer was packed."""

from __future__ import annotations

from typing import Any

import jax

from nablax.runtime._packing._flat import FlatParams


def _is_flat(x: Any) -> bool:
    return isinstance(x, FlatParams)


def _opens(flat: FlatParams) -> bool:
    """Whether each leaf has its own entries: blocks of quantised vectors go across leaves."""
    return jax.tree_util.all_leaves(flat.vectors[dtype] for dtype in flat.layout.dtypes) and (
        jax.tree_util.all_leaves(flat.vectors["apart"])
    )


def opened(trees: Any) -> Any:
    """Trees in which flat parameters, and what a state keeps in their form, have their structure again."""

    def tree_of(x: Any) -> Any:
        if not _is_flat(x) or not _opens(x):
            return x
        real = all(isinstance(v, jax.Array) for v in jax.tree.leaves(x.vectors))
        return x.tree if real else jax.eval_shape(x.layout.split, x.vectors)

    return jax.tree.map(tree_of, trees, is_leaf=_is_flat)


def closed(trees: Any, like: Any) -> Any:
    """What `opened` made of trees like these, as it was: in vectors, where theirs are."""

    def together(old: Any, new: Any) -> Any:
        if not _is_flat(old) or not _opens(old):
            return new
        return jax.tree.map(lambda x, v: jax.device_put(v, x.sharding), old, old.like(new))

    return jax.tree.map(together, like, trees, is_leaf=_is_flat)
