"""`make_global_batch`: the rows of all processes as one array."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nablax.core import ArgumentError, StructureError


def make_global_batch(batch: Any, mesh: Mesh, *, axis: str | tuple[str, ...] = "data") -> Any:
    """Joins what each process has read of a batch, along the first dimension, without a copy between processes.

    Every process calls it, with a batch of the same structure and shapes; each gives its own rows, and the rows of one
    that belong to all are given by all (a mesh whose `axis` does not separate the processes).

    Args:
      batch: tree of arrays, NumPy's or JAX's; the first dimension is that of rows.
      mesh: of all processes' devices, such as `jax.make_mesh((jax.device_count(),), ("data",))`.
      axis: the mesh's axis to split rows over, or several.

    Returns:
      The tree with arrays of all rows, split over `axis`.

    Raises:
      ArgumentError: the mesh has no such axis.
      StructureError: a scalar, or rows that the devices of a process do not divide.

    Example:
      >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
      >>> batch = make_global_batch({"x": np.ones((8 * jax.device_count(), 3))}, mesh)
      >>> batch["x"].sharding.spec
      P('data',)
    """
    if not isinstance(mesh, Mesh):
        raise ArgumentError(
            f"make_global_batch: mesh must be a mesh of devices, such as jax.make_mesh, got {mesh!r}."[:300]
        )
    axes = (axis,) if isinstance(axis, str) else tuple(axis)
    if not axes or any(a not in mesh.axis_names for a in axes):
        known = ", ".join(map(repr, mesh.axis_names))
        raise ArgumentError(f"make_global_batch: axis must be one of the mesh's ({known}), got {axis!r}.")
    sharding = NamedSharding(mesh, PartitionSpec(axes if len(axes) > 1 else axes[0]))
    parts = math.prod(mesh.shape[a] for a in axes)
    mine = len({i for d, i in _places(mesh, axes) if d.process_index == jax.process_index()})

    def leaf(path: Any, x: Any) -> Any:
        shape = np.shape(x)
        if not shape or shape[0] % mine:
            name = jax.tree_util.keystr(path) or "the batch"
            raise StructureError(
                f"make_global_batch: {name} has shape {shape}; its first dimension must be a multiple of {mine}, the "
                f"parts that this process holds."
            )
        rows = shape[0] // mine * parts
        return jax.make_array_from_process_local_data(sharding, np.asarray(x), (rows, *shape[1:]))

    return jax.tree_util.tree_map_with_path(leaf, batch)


def _places(mesh: Mesh, axes: tuple[str, ...]) -> list[tuple[Any, tuple[int, ...]]]:
    """Each device with its place along the axes."""
    which = [mesh.axis_names.index(a) for a in axes]
    return [(device, tuple(at[i] for i in which)) for at, device in np.ndenumerate(mesh.devices)]
