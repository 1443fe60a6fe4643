"""`over_axis`: a transformation within `jax.shard_map`, told what its leaves are split over."""

from __future__ import annotations

from typing import Any

import jax

from nablax.core import TRANSFORMATION, ArgumentError, GradientTransformationExtraArgs, around, checked
from nablax.tree import across


@checked(inner=TRANSFORMATION)
def over_axis(inner: Any, axis: str | tuple[str, ...] | None) -> GradientTransformationExtraArgs:
    """Lets a transformation measure leaves that are split over devices, within `jax.shard_map`.

    There each device holds a part of every leaf, and what looks at all leaves (a global norm, a distance, L-BFGS's
    inner products) has to be summed over the devices. Without this wrapper it raises. What looks at a whole leaf (Muon,
    Adafactor, a trust ratio) raises with an axis, too: use `nablax.shard_state` under jit, which needs no shard_map.

    Args:
      inner: a transformation.
      axis: the axes of the mesh, or of `pmap`, over which leaves are split; those that each device holds whole count
        once, as far as their types tell (with `check_vma=False` all are taken to be split). None: each device's part is
        a whole of its own, as in an ensemble.

    Raises:
      ArgumentError: outside of shard_map, or an axis that it does not have.

    Example:
      >>> import jax.numpy as jnp
      >>> from jax.sharding import AxisType, PartitionSpec as P
      >>> from nablax.transforms import clip_by_global_norm
      >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
      >>> tx = over_axis(clip_by_global_norm(1.0), "data")
      >>> def update(g):
      ...     return tx.update(g, tx.init(g))[0]
      >>> jax.jit(jax.shard_map(update, mesh=mesh, in_specs=P("data"), out_specs=P("data")))(jnp.array([3.0, 4.0]))
      Array([0.6, 0.8], dtype=float32)
    """
    axes = (axis,) if isinstance(axis, str) else axis
    if axes is not None and not (isinstance(axes, tuple | list) and all(isinstance(a, str) for a in axes)):
        raise ArgumentError(f"over_axis: axis must be a name, a tuple of names, or None, got {axis!r}.")

    def update(update: Any, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        for name in axes or ():
            try:
                jax.lax.axis_size(name)
            except NameError:
                raise ArgumentError(
                    f"over_axis: there is no axis {name!r} here; it is for updates within jax.shard_map or pmap."
                ) from None
        with across(axes):
            return update(updates, state, params, extra)

    def init(params: Any) -> Any:
        with across(axes):
            return inner.init(params)

    return around(inner, init, update)
