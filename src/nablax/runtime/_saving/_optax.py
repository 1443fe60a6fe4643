"""`from_optax`: states of Optax, as objects or as flax and Orbax write them, under our names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nablax.core import StructureError, with_extra_args_support
from nablax.runtime._modules import check_arrays
from nablax.runtime._saving._state_dict import state_dict


def from_optax(found: Any, tx: Any, params: Any) -> dict[str, Any]:
    """A state of Optax's twin of a transformation, as a state dict of ours.

    `Optimizer.load_state_dict` and `nablax.load_state_dict` take it; parameters stay as they are.

    Args:
      found: the state: Optax's object, what `flax.serialization.to_state_dict` made of it, or what Orbax restores
        without a target (nested lists and dicts).
      tx: our transformation of the same structure: `adamw(...)` for `optax.adamw(...)`.
      params: the parameters, or their shapes.

    Raises:
      StructureError: a field or an entry is missing, or has another shape; the message says where.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import sgd
      >>> theirs = {"0": {"trace": {"w": np.ones(2, np.float32)}}, "1": {}}
      >>> from_optax(theirs, sgd(0.1, momentum=0.9), {"w": jnp.zeros(2)})["arrays"]
      {'sgd/trace/w': array([1., 1.], dtype=float32)}
    """
    tx = with_extra_args_support(tx)
    check_arrays("from_optax", params)
    like = jax.eval_shape(tx.init, params)
    return state_dict(tx, _fitted(found, like, "state"))


def _fitted(found: Any, like: Any, where: str) -> Any:
    """A tree of the structure of `like` with the arrays of another that says the same."""
    if not jax.tree.leaves(like):  # states without arrays, and places that a mask leaves out
        return like
    if hasattr(like, "_fields"):
        return type(like)(
            *[_fitted(_entry(found, k, where), getattr(like, k), f"{where}.{k}") for k in like._fields]
        )
    if isinstance(like, Mapping):
        return type(like)(
            {k: _fitted(_entry(found, k, where), v, f"{where}[{k!r}]") for k, v in like.items()}
        )  # type: ignore[call-arg]
    if isinstance(like, tuple | list):
        return type(like)([_fitted(_entry(found, i, where), v, f"{where}[{i}]") for i, v in enumerate(like)])
    if isinstance(like, jax.ShapeDtypeStruct):
        return _leaf(found, like, where)
    treedef: Any
    leaves, treedef = jax.tree.flatten(like)  # a node of another kind: its children by position
    theirs = jax.tree.leaves(found)
    if len(theirs) != len(leaves):
        raise StructureError(f"from_optax: {where} has {len(theirs)} arrays, expected {len(leaves)}.")
    return treedef.unflatten([_leaf(x, y, where) for x, y in zip(theirs, leaves, strict=True)])


def _leaf(found: Any, like: Any, where: str) -> Any:
    if np.shape(found) != like.shape:
        raise StructureError(f"from_optax: {where} has shape {np.shape(found)}, expected {like.shape}.")
    if jax.numpy.issubdtype(like.dtype, jax.dtypes.prng_key):
        return found
    return np.asarray(found).astype(like.dtype)


def _entry(found: Any, key: Any, where: str) -> Any:
    if isinstance(found, Mapping):
        for k in (key, str(key)):
            if k in found:
                return found[k]
    elif isinstance(key, str) and key in getattr(found, "_fields", getattr(found, "__dict__", ())):
        return getattr(found, key)
    elif isinstance(key, int) and isinstance(found, tuple | list) and key < len(found):
        return found[key]
    kind = type(found).__name__
    raise StructureError(f"from_optax: {where} has no entry {key!r}; it is {kind}: {found!r}."[:300])
