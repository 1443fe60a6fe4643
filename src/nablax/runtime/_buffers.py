"""Buffers that are given away: no two leaves in one, and words for one that is gone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import StructureError, copied


def apart(tree: Any) -> Any:
    """The tree with a copy in the place of every array that stands in it a second time."""
    seen: set[int] = set()

    def leaf(x: Any) -> Any:
        if not isinstance(x, jax.Array):
            return jnp.array(x)
        marks = {id(x)}
        if len(x.sharding.device_set) == 1 and not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            marks.add(x.unsafe_buffer_pointer())
        if x.size and marks & seen:
            return copied(x)
        seen.update(marks)
        return x

    return jax.tree.map(leaf, tree)


def check_alive(tree: Any, cause: Exception) -> None:
    """Says so where an array among the arguments was consumed by an earlier step.

    Raises:
      StructureError: an array is deleted.
    """
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(x, jax.Array) and x.is_deleted():
            raise StructureError(
                f"the array at {jax.tree_util.keystr(path)} was consumed by an earlier step, which writes the new "
                "parameters into the old ones' memory. Keep a copy before the step: opt.copy_params(), or jnp.array(x, "
                "copy=True); or make the step with donate=False."
            ) from cause
