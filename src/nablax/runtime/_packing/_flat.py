"""`FlatParams`: the leaves of a tree in one vector for each dtype, and how to get them back."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import ArgumentError, StructureError, quick_compile_options, under_trace
from nablax.runtime._modules import check_arrays
from nablax.runtime._packing._pieces import pieces
from nablax.tree import is_none


class _Slot(NamedTuple):
    """Where a leaf lies: in the vector of `dtype`, or (None) among the arrays that stay as they are."""

    dtype: str | None
    shape: tuple[int, ...]


class Layout(NamedTuple):
    """How a tree lies in vectors.

    treedef: of the tree, in which None is a leaf.  slots: of its leaves; None for those that are None.
    """

    treedef: Any
    slots: tuple[_Slot | None, ...]

    @classmethod
    def of(cls, tree: Any, below: float = math.inf) -> Layout:
        """The layout of a tree: leaves of fewer than `below` entries lie in vectors."""
        leaves, treedef = jax.tree.flatten(tree, is_leaf=is_none)
        slots: list[_Slot | None] = []
        for x in leaves:
            if x is None:
                slots.append(None)
                continue
            small = math.prod(jnp.shape(x)) < below
            slots.append(_Slot(jnp.result_type(x).name if small else None, jnp.shape(x)))
        return cls(treedef, tuple(slots))

    @property
    def dtypes(self) -> list[str]:
        """The dtypes of the vectors, in the order in which they come first."""
        return list(dict.fromkeys(slot.dtype for slot in self.slots if slot is not None and slot.dtype))

    def join(self, tree: Any) -> dict[str, Any]:
        """The vectors by dtype, and under "apart" the arrays that stay as they are.

        Raises:
          StructureError: the tree has another structure, or another shape somewhere.
        """
        leaves, treedef = jax.tree.flatten(tree, is_leaf=is_none)
        if treedef != self.treedef:
            raise StructureError(f"flat parameters: expected the structure {self.treedef}, got {treedef}.")
        groups: dict[str, list[Any]] = {dtype: [] for dtype in self.dtypes}
        apart = []
        for x, slot in zip(leaves, self.slots, strict=True):
            if slot is None or x is None:
                if slot is not None or x is not None:
                    raise StructureError(
                        "flat parameters: None stands where an array was, or an array where None was."
                    )
                continue
            if jnp.shape(x) != slot.shape:
                raise StructureError(
                    f"flat parameters: expected an array of shape {slot.shape}, got {jnp.shape(x)}."
                )
            if slot.dtype is None:
                apart.append(x)
            else:
                groups[slot.dtype].append(x)
        return {**{dtype: _joined(group) for dtype, group in groups.items()}, "apart": apart}

    def split(self, vectors: dict[str, Any]) -> Any:
        """The tree again; leaves have the dtypes of the vectors."""
        apart = iter(vectors["apart"])
        parts = {dtype: iter(self._pieces(dtype, vectors[dtype])) for dtype in self.dtypes}
        leaves: list[Any] = []
        for slot in self.slots:
            if slot is None:
                leaves.append(None)
            elif slot.dtype is None:
                leaves.append(next(apart))
            else:
                leaves.append(next(parts[slot.dtype]).reshape(slot.shape))
        return self.treedef.unflatten(leaves)

    def _pieces(self, dtype: str, vector: Any) -> Sequence[Any]:
        sizes = [math.prod(slot.shape) for slot in self.slots if slot is not None and slot.dtype == dtype]
        return pieces(vector, sizes)


def _joined(leaves: list[Any]) -> Any:
    if under_trace() or any(isinstance(x, jax.core.Tracer) for x in leaves):
        return _concatenate(leaves)
    return _concatenate_now(leaves)


def _concatenate(leaves: list[Any]) -> Any:
    return jnp.concatenate([jnp.ravel(x) for x in leaves])


_concatenate_now = jax.jit(_concatenate)


@functools.cache
def _splitting(layout: Layout) -> Callable[[dict[str, Any]], Any]:
    """`layout.split`, compiled quickly: it only copies."""
    return jax.jit(layout.split, compiler_options=quick_compile_options())


class FlatParams:
    """Parameters in one vector for each dtype; `tree` gives them back in their structure.

    A pytree whose leaves are the vectors, so that a transformation, `jax.grad` and `jit` take it as any other: see
    `flat_params`.
    """

    __slots__ = ("_layout", "vectors")

    def __init__(self, layout: Layout, vectors: dict[str, Any]):
        self._layout, self.vectors = layout, vectors

    @property
    def tree(self) -> Any:
        """The parameters in their structure and shapes; inside a compiled program this costs nothing by itself."""
        traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(self.vectors))
        if traced or under_trace():
            return self._layout.split(self.vectors)
        return _splitting(self._layout)(self.vectors)

    def like(self, tree: Any) -> FlatParams:
        """Another tree of this structure and these shapes, its gradients for example, in vectors.

        Raises:
          StructureError: it has another structure, or another shape somewhere.
        """
        return FlatParams(self._layout, self._layout.join(tree))

    @property
    def layout(self) -> Layout:
        """Where each leaf lies."""
        return self._layout

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dtype}[{jnp.size(self.vectors[dtype])}]" for dtype in self._layout.dtypes)
        return f"FlatParams({len(self._layout.slots)} leaves in {sizes or 'nothing'})"


def _flatten(flat: FlatParams) -> tuple[Any, Any]:
    return tuple((jax.tree_util.DictKey(k), v) for k, v in flat.vectors.items()), (
        flat.layout,
        tuple(flat.vectors),
    )


def _unflatten(aux: Any, children: Any) -> FlatParams:
    layout, names = aux
    return FlatParams(layout, dict(zip(names, children, strict=True)))


jax.tree_util.register_pytree_with_keys(FlatParams, _flatten, _unflatten)


def as_tree(params: Any) -> Any:
    """The tree of flat parameters; others pass by."""
    return params.tree if isinstance(params, FlatParams) else params


def flat_params(params: Any) -> FlatParams:
    """Parameters with all leaves of a dtype in one vector.

    For models of very many small arrays, whose training step spends its time on handing arrays over: with 1,000 leaves
    and AdamW 4,000 arrays cross the border of a compiled step, with flat parameters a handful. `Optimizer` and
    `train_step` take them as they are: losses get the tree, and optimizers for which the entries' places matter
    (trust ratios, factored moments, masks by leaf) are refused. In loops of your own, write `flat.tree` in the loss.

    Args:
      params: tree of arrays; None leaves stay None.

    Raises:
      ArgumentError: it holds no array.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> flat = flat_params({"w": jnp.ones((2, 3)), "b": jnp.zeros(3)})
      >>> flat
      FlatParams(2 leaves in float32[9])
      >>> jax.grad(lambda p: jnp.sum(p.tree["w"] ** 2))(flat).tree["w"].shape
      (2, 3)
    """
    check_arrays("flat_params", params)
    layout = Layout.of(params)
    if not layout.dtypes:
        raise ArgumentError(f"flat_params: params holds no array: {params!r}."[:300])
    return FlatParams(layout, layout.join(params))
