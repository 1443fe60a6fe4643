"""The loop of a program over the leaves of trees that belong together, and what to say where they do not fit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._errors import ArgumentError, StructureError
from nablax.core._kinds import is_array
from nablax.core._program import Program
from nablax.tree import is_none, path_str


def map_leaves(
    program: Program,
    tree: Any,
    *rest: Any,
    shared: Any = None,
    what: str = "the trees",
    partial: bool = False,
) -> tuple[list[Any], Any]:
    """Runs a program over the leaves of trees of one structure.

    Args:
      program: its row is a tuple of one leaf of each tree.
      tree: tree of arrays; a leaf that is None has no result.
      *rest: trees of the same structure.
      shared: a pytree that all leaves see.
      what: the trees, for errors; the name of the program says who.
      partial: the others may have None where `tree` has an array; such a leaf has no result either.

    Returns:
      For each leaf of `tree`, None included, its result or None; and the structure that unflattens them.

    Raises:
      StructureError: the structures differ, or the program failed on a leaf whose shapes differ.
    """
    treedef: Any
    leaves, treedef = jax.tree.flatten(tree, is_leaf=is_none)
    try:
        rows = list(zip(leaves, *map(treedef.flatten_up_to, rest), strict=True))
    except (ValueError, TypeError) as e:
        raise StructureError(f"{program.name}: {what} must have one structure. {e}") from e
    active = []
    for i, (first, *others) in enumerate(rows):
        missing = any(x is None for x in others)
        if first is not None and missing and not partial:
            raise StructureError(
                f"{program.name}: {what} differ at {_path(tree, i)}: one of them has None there."
            )
        if first is not None and not missing:
            active.append(i)
    try:
        outputs = program.map([rows[i] for i in active], shared)
    except (ValueError, TypeError) as e:
        for i in active:
            for x in rows[i]:
                if not is_array(x):
                    raise ArgumentError(
                        f"{program.name}: {what} must hold arrays, got {type(x).__name__}: {x!r} at {_path(tree, i)}."[
                            :300
                        ]
                    ) from e
            if _fails(program, rows[i], shared):
                for x in rows[i][1:]:
                    if jnp.shape(x) != jnp.shape(rows[i][0]):
                        raise StructureError(
                            f"{program.name}: {what} differ at {_path(tree, i)}: shape {jnp.shape(rows[i][0])} "
                            f"against {jnp.shape(x)}."
                        ) from e
                break
        raise
    results: list[Any] = [None] * len(rows)
    for i, output in zip(active, outputs, strict=True):
        results[i] = output
    return results, treedef


def _path(tree: Any, i: int) -> str:
    return path_str(jax.tree.flatten_with_path(tree, is_leaf=is_none)[0][i][0])


def _fails(program: Program, row: Any, shared: Any) -> bool:
    try:
        jax.eval_shape(program.one, row, shared)
    except (ValueError, TypeError):
        return True
    return False
