"""GaLore: an optimizer that works on low-rank projections of matrix gradients.

    every update_proj_gap steps:  g = U S V^T,  P = first rank columns of U (or of V for a wide matrix)
    R_t = P^T g_t  (g_t P for a wide matrix);   r_t = base update for R_t;   u_t = scale P r_t  (r_t P^T)

Leaves that are no matrices go to the base optimizer as they are.

Source: Zhao et al. 2024, arXiv:2403.03507, Algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    ArgumentError,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    Work,
    as_array,
    automatic,
    chain,
    dealing_now,
    dealt,
    require_whole,
    safe_increment,
    with_extra_args_support,
    wrapper,
    zero_count,
)
from nablax.optimizers._adam import scale_by_adam
from nablax.optimizers._arguments import checked
from nablax.optimizers._matrix_axes import Axes, AxesPerLeaf, axes_of, check_numbers_of
from nablax.transforms import add_decayed_weights, scale_by_learning_rate
from nablax.tree import at_least_float32, is_none


class GaLoreDimensionNumbers(NamedTuple):
    """Which axes of an array make a matrix; every axis belongs to one side.

    Attributes:
      reduction_axis: axis or axes of the inputs.
      output_axis: axis or axes of the outputs.
    """

    reduction_axis: int | tuple[int, ...] = 0
    output_axis: int | tuple[int, ...] = 1


class GaLoreState(NamedTuple):
    """count: updates so far, int32. base_optimizer_state: of the projected tree.

    projector: P for each matrix, at least float32; an empty matrix for the other leaves.
    """

    count: jax.Array  # type: ignore[assignment]
    base_optimizer_state: Any
    projector: Any


class _Leaf:
    """How one leaf is projected: its axes, shape and rank; or not at all."""

    def __init__(self, shape: tuple[int, ...], axes: Axes | None, rank: int):
        self.shape = shape
        self.order: list[int] | None = None
        if axes is None:
            return
        inputs, outputs = ([a % len(shape) for a in side] for side in (axes.inputs, axes.outputs))
        self.order = inputs + outputs
        if sorted(self.order) != list(range(len(shape))):
            raise ArgumentError(
                f"scale_by_galore: reduction_axis {axes.inputs} and output_axis {axes.outputs} must name each axis of "
                f"a leaf of shape {shape} once."
            )
        self.rows = math.prod(shape[a] for a in inputs)
        self.columns = math.prod(shape[a] for a in outputs)
        self.left = self.rows >= self.columns
        self.rank = min(rank, self.rows, self.columns)

    def matrix(self, g: jax.Array) -> jax.Array:
        return g.transpose(self.order).reshape(self.rows, self.columns)

    def restore(self, m: jax.Array) -> jax.Array:
        assert self.order is not None
        return m.reshape([self.shape[a] for a in self.order]).transpose(np.argsort(self.order))

    def low_shape(self) -> tuple[int, ...]:
        if self.order is None:
            return self.shape
        return (self.rank, self.columns) if self.left else (self.rows, self.rank)

    def projector_shape(self) -> tuple[int, int]:
        return (0, 0) if self.order is None else (self.rows if self.left else self.columns, self.rank)

    def decomposing(self, g: jax.Array) -> Work:
        """What makes the projector."""
        return Work.of(_projector, self.matrix(g), left=self.left, rank=self.rank)

    def project(self, g: jax.Array, p: jax.Array) -> jax.Array:
        g = self.matrix(g.astype(p.dtype))
        return jnp.conj(p).T @ g if self.left else g @ p

    def lift(self, r: jax.Array, p: jax.Array) -> jax.Array:
        return self.restore(p @ r if self.left else r @ jnp.conj(p).T)


def _projector(matrix: jax.Array, *, left: bool, rank: int) -> jax.Array:
    u, _, vh = jnp.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank] if left else jnp.conj(vh).T[:, :rank]


def _matrices_only(params: Any) -> Any:
    return jax.tree.map(lambda p: Axes() if jnp.ndim(p) == 2 else None, params)


def _where_they_fit(axes: Axes) -> Callable[[Any], Any]:
    """The same axes for all leaves that have so many; vectors and scalars are left alone."""
    count = len(axes.inputs) + len(axes.outputs)
    return lambda params: jax.tree.map(lambda p: axes if jnp.ndim(p) >= count else None, params)


@checked(weight_dimension_numbers=check_numbers_of(GaLoreDimensionNumbers))
def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    base_optimizer: Any = None,
    weight_dimension_numbers: Any = None,
) -> GradientTransformationExtraArgs:
    """Runs a transformation of gradients in a low-rank subspace.

    Args:
      rank: of the projections, at least 1; smaller matrices keep their full rank.
      update_proj_gap: steps between two singular value decompositions, at least 1.
      scale: factor of the lifted updates; that of the other leaves stays 1.
      base_optimizer: a transformation that reads no parameters, such as `scale_by_adam()`, the default.
      weight_dimension_numbers: `GaLoreDimensionNumbers` for all leaves, a tree of them with None for leaves not to
        project, or a function of the parameters that returns one; None projects the leaves with two axes.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: dimension numbers that do not name every axis once.

    Defaults: as in `galore`.

    Source: Zhao et al. 2024, arXiv:2403.03507.
    """
    inner = scale_by_adam() if base_optimizer is None else base_optimizer
    base = with_extra_args_support(inner)
    source: Any = _matrices_only
    if isinstance(weight_dimension_numbers, GaLoreDimensionNumbers):
        source = _where_they_fit(axes_of(weight_dimension_numbers, GaLoreDimensionNumbers))
    elif weight_dimension_numbers is not None:
        source = axes_of(weight_dimension_numbers, GaLoreDimensionNumbers)
    per_leaf = AxesPerLeaf(source, "scale_by_galore")

    def plan(tree: Any, params: Any = None) -> tuple[list[Any], list[Any], Any]:
        leaves, treedef = jax.tree.flatten(tree, is_leaf=is_none)
        axes = per_leaf.values(tree, params)
        plans = [
            None if x is None else _Leaf(jnp.shape(x), a, int(rank))
            for x, a in zip(leaves, axes, strict=True)
        ]
        return leaves, plans, treedef

    # Not declared field by field: the inner state is one of projected shapes, which the plan of all leaves gives.
    def init(params: Any) -> GaLoreState:
        leaves, plans, treedef = plan(params)
        wide = [None if p is None else at_least_float32(jnp.result_type(p)) for p in leaves]
        low = [
            None
            if how is None
            else p
            if how.order is None
            else jnp.zeros(how.low_shape(), jnp.result_type(p))
            for how, p in zip(plans, leaves, strict=True)
        ]
        projectors = [
            None if how is None else jnp.zeros(how.projector_shape(), d)
            for how, d in zip(plans, wide, strict=True)
        ]
        return GaLoreState(zero_count(), base.init(treedef.unflatten(low)), treedef.unflatten(projectors))

    def update(updates: Any, state: GaLoreState, params: Any = None, **extra: Any) -> tuple[Any, GaLoreState]:
        def low_rank(updates: Any, state: GaLoreState, params: Any) -> tuple[Any, GaLoreState]:
            return project(updates, state, params, extra)

        return automatic(low_rank, updates, (updates, state))(updates, state, params)

    def project(updates: Any, state: GaLoreState, params: Any, extra: Any) -> tuple[Any, GaLoreState]:
        require_whole("scale_by_galore", updates)
        # The axes are known from init by the structure of the parameters, which the updates share.
        leaves, plans, treedef = plan(updates, updates if params is None else params)
        old = treedef.flatten_up_to(state.projector)
        again = jnp.mod(state.count, as_array(update_proj_gap)) == 0
        matrices = [i for i, how in enumerate(plans) if how is not None and how.order is not None]

        def renew(_: None) -> list[jax.Array]:
            works = [plans[i].decomposing(leaves[i].astype(old[i].dtype)) for i in matrices]
            made = dealt(works, dealing_now())
            return [p.astype(old[i].dtype) for i, p in zip(matrices, made, strict=True)]

        fresh = jax.lax.cond(again, renew, lambda _: [old[i] for i in matrices], None)
        projectors = list(old)
        low = list(leaves)
        for i, p in zip(matrices, fresh, strict=True):
            projectors[i] = p
            low[i] = plans[i].project(leaves[i], p).astype(leaves[i].dtype)
        small, base_state = base.update(treedef.unflatten(low), state.base_optimizer_state, None, **extra)
        out = treedef.flatten_up_to(small)
        for i in matrices:
            out[i] = (
                as_array(scale) * plans[i].lift(out[i].astype(projectors[i].dtype), projectors[i])
            ).astype(leaves[i].dtype)
        new = GaLoreState(safe_increment(state.count), base_state, treedef.unflatten(projectors))
        return treedef.unflatten(out), new

    return wrapper(init, update, {"base_optimizer": base}, {"base_optimizer": ("base_optimizer_state",)})


@checked(weight_dimension_numbers=check_numbers_of(GaLoreDimensionNumbers))
def galore(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    base_optimizer: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    weight_dimension_numbers: Any = None,
) -> GradientTransformationExtraArgs:
    """GaLore: Adam at the memory of low-rank moments, all parameters trained.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers: as in `scale_by_galore`.
      weight_decay: multiplied by the learning rate, in the full space.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; rank and update_proj_gap are those of the authors' examples, which scale by 0.25.

    Source: Zhao et al. 2024, arXiv:2403.03507.
    """
    return chain(
        scale_by_galore(rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
