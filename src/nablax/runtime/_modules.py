"""Trees that hold more than arrays, as modules do: functions, names, flags, random keys. The rest is carried along."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import StructureError


def _is_trainable(x: Any) -> bool:
    if isinstance(x, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct):
        return not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return isinstance(x, numbers.Number) and not isinstance(x, bool)


def parted(params: Any) -> tuple[Any, Any]:
    """The tree with None in the place of what is no array or number, and the tree of the rest; None without any."""
    leaves, treedef = jax.tree.flatten(params)
    if all(map(_is_trainable, leaves)):
        return params, None
    return (
        jax.tree.unflatten(treedef, [x if _is_trainable(x) else None for x in leaves]),
        (treedef, [None if _is_trainable(x) else x for x in leaves]),
    )


def joined(params: Any, rest: Any) -> Any:
    """The inverse of `parted`."""
    if rest is None:
        return params
    treedef, others = rest
    trained = treedef.flatten_up_to(params)
    return jax.tree.unflatten(treedef, [t if x is None else x for t, x in zip(trained, others, strict=True)])


def first_other(tree: Any, keys: bool = False) -> tuple[str, Any] | None:
    """Where in a tree the first leaf stands that is no array or number, and this leaf; None without one.

    Args:
      tree: any tree.
      keys: whether random keys are others, too.
    """
    passed = bool | np.bool_ if keys else jax.Array | bool | np.bool_
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        if not _is_trainable(x) and not isinstance(x, passed):
            return jax.tree_util.keystr(path), x
    return None


def check_arrays(who: str, params: Any) -> None:
    """Refuses a tree with other leaves than arrays and numbers, and with random keys.

    Raises:
      StructureError: with what to write.
    """
    found = first_other(params, keys=True)
    if found is not None:
        path, x = found
        if hasattr(x, "requires_grad"):
            raise StructureError(
                f"{who}: params{path} is a tensor of autograd. Give its array, x.value; tensors are trained by "
                "Optimizer(tx, params): loss.backward(), opt.step()."
            )
        what = "a random key" if isinstance(x, jax.Array) else f"no array, but {type(x).__name__}"
        raise StructureError(
            f"{who}: params{path} is {what}. Give the arrays that are trained "
            "alone, and put the module together in the loss: params, rest = equinox.partition(model, "
            "equinox.is_inexact_array), then equinox.combine(params, rest); or with flax, graphdef, params, rest = "
            "nnx.split(model, nnx.Param, ...), then nnx.merge(graphdef, params, rest, copy=True)."
        )
