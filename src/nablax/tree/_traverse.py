"""How this wing walks over trees: maps that name the leaf where trees differ, and reductions of scalars."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


def is_none(x: Any) -> bool:
    """True for None: as `is_leaf`, it makes a None visible to a map."""
    return x is None


def map_trees(
    who: str, f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """`jax.tree.map` over trees of one structure.

    Args:
      who: name of the caller, for the error.
      f: takes one leaf of each tree.
      tree: first tree; the result has its structure.
      *rest: trees of the same structure.
      is_leaf: as for `jax.tree.map`, but in every tree.

    Raises:
      ValueError: the structures differ; the message names the first leaves that have no partner.
    """
    leaves, treedef = _flatten(tree, is_leaf)
    columns = [leaves]
    for other in rest:
        other_leaves, other_treedef = _flatten(other, is_leaf)
        if other_treedef != treedef:
            raise ValueError(f"{who}: {describe_difference(tree, other)}")
        columns.append(other_leaves)
    return treedef.unflatten(map(f, *columns))


def _flatten(tree: Any, is_leaf: Callable[[Any], bool] | None) -> tuple[list[Any], Any]:
    return jax.tree.flatten(tree, is_leaf=is_leaf)


def describe_difference(tree: Any, other: Any) -> str:
    """Says where two trees of different structure part, by path."""
    paths = [
        [jax.tree_util.keystr(path) or "the root" for path, _ in jax.tree_util.tree_flatten_with_path(t)[0]]
        for t in (tree, other)
    ]
    only_first = [path for path in paths[0] if path not in set(paths[1])]
    only_second = [path for path in paths[1] if path not in set(paths[0])]
    if only_first or only_second:
        found = [
            f"the {name} tree has a leaf at {only[0]}"
            for name, only in (("first", only_first), ("second", only_second))
            if only
        ]
        return f"the trees differ: {', '.join(found)}, the other has none there."
    return (
        f"the trees hold the same leaves in different containers: "
        f"{jax.tree.structure(tree)} against {jax.tree.structure(other)}."
    )


_CHUNK = 32


@functools.partial(jax.jit, static_argnames="combine")
def _fold(values: list[Any], combine: Callable[[Any, Any], Any]) -> jax.Array:
    return functools.reduce(combine, values)


def reduce_scalars(combine: Callable[[Any, Any], Any], scalars: Sequence[Any], neutral: Any = None) -> Any:
    """Folds scalars of one dtype, `_CHUNK` of them a compiled call.

    The arity is fixed, so one program serves every tree: a program over 1,000 scalars at once takes seconds
    to compile.

    Args:
      combine: an associative function of two scalars, hashable by identity.
      scalars: what to fold; not empty.
      neutral: x with combine(a, x) = a, to fill the last chunk; may be left out where combine(a, a) = a.
    """
    values = list(scalars)
    while len(values) > 1:
        chunks = [values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK)]
        if len(chunks[-1]) < _CHUNK:
            fill = values[0] if neutral is None else np.asarray(neutral, values[0].dtype)
            chunks[-1] = chunks[-1] + [fill] * (_CHUNK - len(chunks[-1]))
        values = [_fold(chunk, combine) for chunk in chunks]
    return values[0]
