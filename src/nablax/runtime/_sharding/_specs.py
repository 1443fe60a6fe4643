"""Partition specs: what a parameter's own says, and what its part of the state gets; arrays put where they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nablax.core import ArgumentError, under_trace
from nablax.tree import is_none


def check_mesh(who: str, mesh: Any, axis: Any) -> tuple[str, ...]:
    """The axes of the mesh to spread over.

    Raises:
      ArgumentError: no mesh, or an axis that it does not have.
    """
    if not isinstance(mesh, jax.sharding.Mesh | jax.sharding.AbstractMesh):
        raise ArgumentError(f"{who}: mesh must be a jax.sharding.Mesh, got {type(mesh).__name__}: {mesh!r}.")
    axes = (axis,) if isinstance(axis, str) else axis
    if not isinstance(axes, tuple | list) or not axes or any(a not in mesh.axis_names for a in axes):
        known = ", ".join(map(repr, mesh.axis_names))
        raise ArgumentError(
            f"{who}: axis must be one of the mesh's ({known}) or a tuple of them, got {axis!r}."
        )
    return tuple(axes)


def own_spec(x: Any, mesh: Any) -> PartitionSpec:
    """How an array is laid out on the mesh, as far as it or its type tells; replicated where nothing does."""
    if isinstance(x, jax.core.Tracer) or not hasattr(x, "sharding"):
        sharding = jax.typeof(x).sharding if isinstance(x, jax.core.Tracer) else None
    else:
        sharding = x.sharding
    if not isinstance(sharding, NamedSharding) or sharding.mesh.shape != mesh.shape:
        return PartitionSpec()
    return sharding.spec


def names_in(spec: PartitionSpec) -> tuple[str, ...]:
    """The axes of the mesh that a spec uses."""
    return tuple(
        a for entry in spec if entry is not None for a in ((entry,) if isinstance(entry, str) else entry)
    )


def spread(
    shape: Sequence[int],
    spec: PartitionSpec,
    mesh: Any,
    axes: tuple[str, ...],
    box: Sequence[int] | None = None,
) -> PartitionSpec:
    """The spec, and the largest dimension that is still free and divisible spread over the axes, too.

    Where no dimension is, or the spec uses one of the axes already, the spec itself. Boxes of the shape `box` stay
    whole.

    Example:
      >>> mesh = jax.sharding.AbstractMesh((2, 4), ("data", "model"))
      >>> spread((6, 8), PartitionSpec(None, "model"), mesh, ("data",))
      P('data', 'model')
    """
    if set(names_in(spec)) & set(axes):
        return spec
    entries = [*spec, *[None] * (len(shape) - len(spec))]
    parts = math.prod(mesh.shape[a] for a in axes)
    whole = [1] * len(shape) if box is None else box
    free = [d for d, n in enumerate(shape) if entries[d] is None and n and n % (parts * whole[d]) == 0]
    if not free or parts == 1:
        return spec
    largest = max(free, key=lambda d: shape[d])  # the first of equal ones
    entries[largest] = axes[0] if len(axes) == 1 else axes
    while entries[-1] is None:  # as compiled programs write it
        entries.pop()
    return PartitionSpec(*entries)


def place(tree: Any, shardings: Any) -> Any:
    """The tree laid out as the shardings say: a constraint under a trace, a transfer outside.

    A leaf that is None, or whose sharding is, stays as it is.
    """
    traced = under_trace()

    def leaf(sharding: Any, x: Any) -> Any:
        if sharding is None or x is None:
            return x
        if not traced:
            return jax.device_put(x, sharding)
        if AxisType.Explicit in sharding.mesh.axis_types:
            return jax.sharding.reshard(x, sharding)
        return jax.lax.with_sharding_constraint(x, sharding)

    return jax.tree.map(leaf, shardings, tree, is_leaf=is_none)
