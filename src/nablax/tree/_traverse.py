"""How this wing walks over trees: maps that name the leaf where trees differ, and reductions of scalars."""

import functools
import inspect
import numbers
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np

from ._across import over_devices

Function = TypeVar("Function", bound=Callable[..., Any])

_ARRAYS = (jax.Array, np.ndarray, np.generic, numbers.Number, jax.ShapeDtypeStruct)


def of_arrays(*trees: str) -> Callable[[Function], Function]:
    """A function that names the leaf of its arguments `trees` which is no array, where JAX refuses one."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def told(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                given = signature.bind_partial(*args, **kwargs).arguments
                for name in (n for n in trees if n in given):
                    for path, x in jax.tree_util.tree_leaves_with_path(given[name]):
                        if not isinstance(x, _ARRAYS) and not hasattr(x, "__jax_array__"):
                            where = f"tree.{function.__name__}: {name}{jax.tree_util.keystr(path)}"
                            came = f"{type(x).__name__}: {x!r}"
                            raise TypeError(f"{where} must be an array, got {came}."[:300]) from error
                raise

        return cast(Function, told)

    return decorate


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
    known = [set(p) for p in paths]
    only_first = [path for path in paths[0] if path not in known[1]]
    only_second = [path for path in paths[1] if path not in known[0]]
    found = []
    if only_first:
        found.append(f"the first has a leaf at {only_first[0]} and the second none")
    if only_second:
        found.append(f"the second has a leaf at {only_second[0]} and the first none")
    if found:
        return f"the trees differ: {', '.join(found)}."
    return (
        f"the trees hold the same leaves in different containers: "
        f"{jax.tree.structure(tree)} against {jax.tree.structure(other)}."
    )


_LONGEST_FOLD = 32


@functools.partial(jax.jit, static_argnames="combine")
def _fold(values: list[Any], combine: Callable[[Any, Any], Any]) -> jax.Array:
    return functools.reduce(combine, values)


def reduce_scalars(combine: Callable[[Any, Any], Any], scalars: Sequence[Any]) -> Any:
    """Folds scalars of one dtype by an associative function, in compiled calls on 2, 4, ..., 32 of them.

    So five programs serve every tree. One program for all scalars would be another for each number of leaves,
    and take seconds to compile for 1,000 of them. Within `across` the scalars are of all devices.
    """
    values = over_devices(combine, list(scalars))
    while len(values) > 1:
        folded = []
        start = 0
        while start < len(values):
            power_of_two = 1 << ((len(values) - start).bit_length() - 1)
            part = values[start : start + min(power_of_two, _LONGEST_FOLD)]
            folded.append(_fold(part, combine) if len(part) > 1 else part[0])
            start += len(part)
        values = folded
    return values[0]
