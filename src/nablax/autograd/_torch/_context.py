"""The context of a `Function`: what its forward leaves for its backward."""

from __future__ import annotations

from typing import Any

import jax

from .._path._recorded import Recorded


class Context:
    """What forward leaves for backward: saved tensors, and attributes of any kind.

    needs_input_grad: for each argument, whether it is a tensor that requires grad.
    """

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.saved_tensors: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Tensors (or None) that backward finds in saved_tensors."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Results through which no gradient flows: they do not require grad, and backward gets zeros for them."""
        self.non_differentiable = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Gradients that nobody asks for are always 0, never None."""

    def mark_dirty(self, *inputs: Any) -> None:
        """Refused: forward computes new tensors, and leaves its arguments as they are."""
        raise NotImplementedError(
            "mark_dirty: forward's arguments are not changed in place; return the new tensor, and write x.copy_(f(x))."
        )


class Left:
    """All that forward left in its context: arrays, and apart from them everything else.

    roles: for each array, the number of the result that it is, or None.
    """

    def __init__(self, ctx: Context, results: tuple[Any, ...]) -> None:
        leaves, self.tree = jax.tree.flatten(vars(ctx))
        self.static = [None if isinstance(leaf, Recorded) else leaf for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Recorded)]
        self.arrays = [leaves[i] for i in self.places]
        self.roles = [next((k for k, r in enumerate(results) if r is a), None) for a in self.arrays]

    def context(self, arrays: Any) -> Context:
        """The context again, with these arrays."""
        leaves = list(self.static)
        for i, array in zip(self.places, arrays, strict=True):
            leaves[i] = array
        ctx = Context(())
        vars(ctx).update(jax.tree.unflatten(self.tree, leaves))
        return ctx
