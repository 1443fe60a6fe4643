"""Parameters that are tensors of the autograd wing, seen from here: arrays go out of them and come back into them.

The wing is imported where a tensor is met, and not before.
"""

from __future__ import annotations

import functools
import numbers
from typing import Any

import jax
import numpy as np

from nablax.core import StructureError


@functools.cache
def _wing() -> Any:
    from nablax import autograd

    return autograd


def _is_tensor(x: Any) -> bool:
    if isinstance(x, _ARRAYS) or not hasattr(x, "requires_grad"):
        return False
    return isinstance(x, _wing().Tensor)


_ARRAYS = jax.Array, np.ndarray, float, int


GROUPS = (
    "Groups with numbers of their own: partition_by_path({pattern: adam(0.1)}, default=adam(1e-3)), and "
    "dict(model.named_parameters())."
)


def holds_tensors(params: Any) -> bool:
    """Whether a tree has a tensor among its leaves."""
    return any(map(_is_tensor, jax.tree.leaves(params)))


def check_leaves(tensors: Any) -> None:
    """Refuses tensors that were computed from others, and numbers among tensors.

    Raises:
      StructureError: one of them is no leaf of its graph; or a number, as in torch's groups of parameters.
    """
    for path, x in jax.tree_util.tree_leaves_with_path(tensors):
        if isinstance(x, numbers.Number) and not isinstance(x, bool):
            raise StructureError(
                f"Optimizer: params{jax.tree_util.keystr(path)} must be a tensor, got {x!r}. {GROUPS}"
            )
        if _is_tensor(x) and not x.is_leaf:
            raise StructureError(
                f"Optimizer: params{jax.tree_util.keystr(path)} was computed from other tensors; give the optimizer "
                "those, or x.detach().requires_grad_()."
            )


def arrays(tensors: Any, numpy: bool = False) -> Any:
    """Values in the place of tensors, None in that of what is no array (a module's functions).

    numpy: whether they may be NumPy's.
    """
    leaves, treedef = jax.tree.flatten(tensors)
    kinds = _wing().Tensor, *_ARRAYS
    kept = [x if isinstance(x, kinds) else None for x in leaves]
    return jax.tree.unflatten(treedef, values(kept, numpy))


def values(tree: Any, numpy: bool = False) -> Any:
    """A tree with arrays in the place of tensors."""
    return _wing().values(tree, numpy=numpy)


def gradients(tensors: Any) -> Any:
    """The accumulated gradients, for a compiled program."""
    return _wing().grads(tensors, numpy=True)


def tiered(fn: Any, donate_argnums: Any = ()) -> Any:
    """A jitted function that nobody waits for: it is run by NumPy until it is hot."""
    return _wing().tiered(fn, donate_argnums)


def placed(array: np.ndarray) -> Any:
    """A small array where a tiered function that takes it again and again finds it soonest."""
    return array if jax.default_backend() == "cpu" else jax.device_put(array)


def assign(tensors: Any, new: Any, take: bool = False) -> None:
    """Gives tensors new values, in place. take: arrays that nobody else holds."""
    _wing().assign(tensors, new, take=take)


def clear_gradients(tensors: Any) -> None:
    """Clears `.grad` of the tensors."""
    _wing().zero_grad(tensors)
