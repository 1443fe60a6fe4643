"""`flatten`: one buffer for each dtype instead of many small leaves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    TRANSFORMATION,
    GradientTransformationExtraArgs,
    Params,
    PerLeaf,
    Updates,
    checked,
    with_extra_args_support,
    wrapper,
)
from nablax.tree import is_none


def _dtype_names(params: Params) -> Any:
    return jax.tree.map(lambda p: jnp.result_type(p).name, params)


@jax.jit
def _concatenate(leaves: list[Any]) -> jax.Array:
    return jnp.concatenate([jnp.ravel(x) for x in leaves])


@checked(inner=TRANSFORMATION)
def flatten(inner: Any) -> GradientTransformationExtraArgs:
    """Runs a transformation on the leaves joined to one vector, or to one for each dtype of the parameters.

    It spares the overhead of many small leaves, for a copy of all of them. The inner transformation must treat every
    entry alike: it sees neither shapes nor paths. Parameters of one dtype become one array, those of several a dict of
    arrays by the dtype's name.

    Args:
      inner: the transformation.

    Example:
      >>> from nablax.transforms import trace
      >>> tx = flatten(trace(0.9))
      >>> params = {"a": jnp.zeros(2), "b": jnp.zeros((2, 2))}
      >>> tx.init(params).trace.shape
      (6,)
    """
    tx = with_extra_args_support(inner)
    dtypes = PerLeaf(_dtype_names, "flatten")

    def join(leaves_of: Any, names: tuple[Any, ...]) -> Any:
        leaves = jax.tree.leaves(leaves_of, is_leaf=is_none)
        groups: dict[str, list[Any]] = {}
        for x, name in zip(leaves, names, strict=True):
            if x is not None:
                groups.setdefault(name, []).append(x)
        buffers = {name: _concatenate(group) for name, group in groups.items()}
        return next(iter(buffers.values())) if len(set(names) - {None}) == 1 and buffers else buffers

    def init(params: Params) -> Any:
        return tx.init(join(params, dtypes.values(params)))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        names = dtypes.values(updates, updates if params is None else params)
        flat_params = None if params is None else join(params, names)
        flat, state = tx.update(join(updates, names), state, flat_params, **extra)
        return _split(flat, updates, names), state

    return wrapper(init, update, {"inner": tx}, {"inner": ()})


def _split(flat: Any, like: Any, names: tuple[Any, ...]) -> Any:
    """The leaves of the buffers, in the shapes and dtypes of another tree."""
    buffers = flat if isinstance(flat, dict) else dict.fromkeys(names, flat)
    starts = dict.fromkeys(buffers, 0)
    treedef: Any
    leaves, treedef = jax.tree.flatten(like, is_leaf=is_none)
    parts: list[Any] = []
    for x, name in zip(leaves, names, strict=True):
        if x is None:
            parts.append(None)
            continue
        shape = np.shape(x)
        size = int(np.prod(shape))
        part = buffers[name][starts[name] : starts[name] + size]
        starts[name] += size
        parts.append(part.reshape(shape).astype(jnp.result_type(x)))
    return treedef.unflatten(parts)
