"""Parameters that stay where they are."""

from __future__ import annotations

from typing import Any

import jax

from nablax.core import TRANSFORMATION, GradientTransformationExtraArgs, checked, mask_of, set_to_zero
from nablax.transforms._masking import masked
from nablax.transforms._partition import partition


def _python_bools(mask: Any) -> Any:
    """A mask may hold boolean arrays of shape ()."""
    if callable(mask):
        return mask
    return jax.tree.map(lambda m: bool(m) if getattr(m, "shape", None) == () else m, mask)


def _is_bool(leaf: Any) -> bool:
    return isinstance(leaf, bool) or (str(getattr(leaf, "dtype", "")) == "bool" and leaf.shape == ())


_MASK = mask_of(_is_bool)


@checked(mask=_MASK)
def freeze(mask: Any) -> GradientTransformationExtraArgs:
    """Sets to zero the updates of the leaves where the mask is True; the others pass.

    Args:
      mask: a bool for all, a tree of bools with the structure of params or a prefix of it, or a function of the
        parameters that returns one.

    Raises:
      ArgumentError: the mask holds something other than bools.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = freeze({"a": True, "b": False})
      >>> grads = {"a": jnp.ones(1), "b": jnp.ones(1)}
      >>> tx.update(grads, tx.init(grads))[0]
      {'a': Array([0.], dtype=float32), 'b': Array([1.], dtype=float32)}
    """
    return masked(set_to_zero(), _python_bools(mask))


@checked(optimizer=TRANSFORMATION, freeze_mask=_MASK)
def selective_transform(optimizer: Any, *, freeze_mask: Any) -> GradientTransformationExtraArgs:
    """Optimizes the leaves where the mask is False and sets the updates of the others to zero.

    Frozen leaves take no room in the state of the optimizer.

    Args:
      optimizer: the transformation for the leaves that train.
      freeze_mask: as the mask of `freeze`.

    Returns:
      A transformation with a `PartitionState` whose labels are "train" and "freeze".

    Raises:
      ArgumentError: the mask holds something other than bools.
    """

    def labels_of(mask: Any) -> Any:
        return jax.tree.map(lambda frozen: "freeze" if frozen else "train", _python_bools(mask))

    labels = (
        (lambda params: labels_of(freeze_mask(params))) if callable(freeze_mask) else labels_of(freeze_mask)
    )
    return partition({"train": optimizer, "freeze": set_to_zero()}, labels)
