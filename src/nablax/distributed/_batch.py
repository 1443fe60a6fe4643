"""`make_global_batch`: the rows of all processes as one array."""

from __future__ import annotations

import math
import zlib
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nablax.core import ArgumentError, StructureError
from nablax.distributed._exchange import exchange

_compared: set[tuple[Mesh, tuple[str, ...]]] = set()  # meshes are few, and JAX keeps them as well


def make_global_batch(batch: Any, mesh: Mesh, *, axis: str | tuple[str, ...] = "data") -> Any:
    """Joins what each process has read of a batch, along the first dimension, without a copy between processes.

    Every process calls it, with a batch of the same structure and shapes; each gives its own rows. Processes whose
    devices have the same place along `axis` (where another axis of the mesh, such as "model", separates them) give the
    same rows; of the first batch on a mesh they compare checksums.

    Args:
      batch: tree of arrays, NumPy's or JAX's; the first dimension is that of rows.
      mesh: of all processes' devices, such as `jax.make_mesh((jax.device_count(),), ("data",))`.
      axis: the mesh's axis to split rows over, or several.

    Returns:
      The tree with arrays of all rows, split over `axis`.

    Raises:
      ArgumentError: the mesh has no such axis.
      StructureError: a scalar, or rows that the devices of a process do not divide; processes that should give the
        same rows of a first batch, and do not.

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
    places = _places(mesh, axes)
    mine = len(places.get(jax.process_index(), ()))

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

    made = jax.tree_util.tree_map_with_path(leaf, batch)
    if (mesh, axes) not in _compared:
        _check_shared(batch, places, axes)
        _compared.add((mesh, axes))
    return made


def _places(mesh: Mesh, axes: tuple[str, ...]) -> dict[int, frozenset[tuple[int, ...]]]:
    """The places along the axes that the devices of each process have."""
    which = [mesh.axis_names.index(a) for a in axes]
    found: dict[int, set[tuple[int, ...]]] = {}
    for at, device in np.ndenumerate(mesh.devices):
        found.setdefault(device.process_index, set()).add(tuple(at[i] for i in which))
    return {process: frozenset(places) for process, places in found.items()}


def _check_shared(batch: Any, places: dict[int, frozenset[tuple[int, ...]]], axes: tuple[str, ...]) -> None:
    """Compares what processes give whose devices have the same places: else devices would hold different copies.

    Raises:
      StructureError: they differ; on every process.
    """
    if len(set(places.values())) == len(places) or len(places) < jax.process_count():
        return  # nothing is shared; or some processes are not of the mesh, and will not answer
    sum_of = 0
    for x in jax.tree.leaves(batch):
        sum_of = zlib.crc32(np.ascontiguousarray(x).tobytes(), sum_of)
    first: dict[frozenset[tuple[int, ...]], tuple[int, str]] = {}
    for process, said in enumerate(exchange(f"{sum_of:08x}")):
        other, expected = first.setdefault(places[process], (process, said))
        if said != expected:
            raise StructureError(
                f"make_global_batch: processes {other} and {process} have the same part of the mesh's axis "
                f"{', '.join(map(repr, axes))}, so they must give the same rows; these differ."
            )
