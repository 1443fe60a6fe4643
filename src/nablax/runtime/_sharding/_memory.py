"""`describe_memory`: what parameters, gradients and state take on each device, from shapes alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh

from nablax.core import state_leaves, with_extra_args_support
from nablax.runtime._modules import check_arrays
from nablax.runtime._sharding._layout import Layout


class Row(NamedTuple):
    """what: "parameters", "gradients", or a field of the state, as "adamw/mu". arrays: how many. total, device: bytes
    of all, and on one device."""

    what: str
    arrays: int
    total: int
    device: int


class Memory(NamedTuple):
    """What a training step keeps: `rows`, in order, and the number of devices. Prints as a table."""

    rows: tuple[Row, ...]
    devices: int

    @property
    def total(self) -> int:
        """Bytes of all, each array counted once."""
        return sum(row.total for row in self.rows)

    @property
    def device(self) -> int:
        """Bytes on one device."""
        return sum(row.device for row in self.rows)

    def __str__(self) -> str:
        lines = [("", "arrays", "bytes", f"on each of {self.devices}")]
        lines += [(r.what, str(r.arrays), shown_size(r.total), shown_size(r.device)) for r in self.rows]
        lines += [
            ("all", str(sum(r.arrays for r in self.rows)), shown_size(self.total), shown_size(self.device))
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                [line[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(line[1:], widths[1:], strict=True))]
            )
            for line in lines
        )


def describe_memory(
    tx: Any, params: Any, *, mesh: Any = None, axis: str | tuple[str, ...] = "data", param_specs: Any = None
) -> Memory:
    """What parameters, gradients and the state of a transformation take on each device: a plan, nothing is allocated.

    Gradients are counted in the parameters' dtypes and lie as the parameters do.

    Args:
      tx: a transformation.
      params: tree of arrays or of `jax.ShapeDtypeStruct`, with shardings where they are split.
      mesh: the devices, also an abstract mesh, with the state spread as `shard_state` does; None is one device.
      axis, param_specs: as in `state_shardings`.

    Returns:
      A `Memory`: rows for parameters, gradients, and each field of the state, as the names of its leaves begin;
      of `precision`, `precision/beside` is the master copy, the remainder or the compensation.

    Example:
      >>> from nablax.optimizers import adamw
      >>> params = {"w": jax.ShapeDtypeStruct((8192, 8192), jnp.bfloat16)}
      >>> mesh = jax.sharding.AbstractMesh((64,), ("data",))
      >>> print(describe_memory(adamw(1e-3), params, mesh=mesh))
                   arrays      bytes  on each of 64
      parameters        1  134.22 MB      134.22 MB
      gradients         1  134.22 MB      134.22 MB
      adamw/count       1        4 B            4 B
      adamw/mu          1  134.22 MB        2.10 MB
      adamw/nu          1  268.44 MB        4.19 MB
      all               5  671.09 MB      274.73 MB
    """
    tx = with_extra_args_support(tx)
    check_arrays("describe_memory", params)
    params = jax.tree.map(lambda x: x if hasattr(x, "dtype") else jnp.asarray(x), params)
    if mesh is None:
        mesh, axis = AbstractMesh((1,), ("device",)), "device"
    plan = Layout(tx, mesh, axis, param_specs, "describe_memory").plan(params)
    state = jax.eval_shape(tx.init, _shapes(params))
    fields = [leaf.field for leaf in state_leaves(tx, state, _shapes(params))]
    leaves, placed = jax.tree.leaves(params), jax.tree.leaves(plan.params)
    listed = [("parameters", x, s) for x, s in zip(leaves, placed, strict=True)]
    listed += [("gradients", x, s) for x, s in zip(leaves, placed, strict=True)]
    listed += list(zip(fields, jax.tree.leaves(state), jax.tree.leaves(plan.state), strict=True))
    rows: dict[str, Row] = {}
    for what, x, sharding in listed:
        _, arrays, total, device = rows.get(what, Row(what, 0, 0, 0))
        mine = _bytes(sharding.shard_shape(jnp.shape(x)), x)
        rows[what] = Row(what, arrays + 1, total + _bytes(jnp.shape(x), x), device + mine)
    return Memory(tuple(rows.values()), math.prod(mesh.shape.values()))


def _shapes(params: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), params)


def _bytes(shape: tuple[int, ...], x: Any) -> int:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), x.dtype))
        return math.prod(shape) * data.size * data.dtype.itemsize
    return math.prod(shape) * jnp.dtype(x.dtype).itemsize


def shown_size(n: int) -> str:
    for unit, power in (("TB", 12), ("GB", 9), ("MB", 6), ("kB", 3)):
        if n >= 10**power:
            return f"{n / 10**power:.2f} {unit}"
    return f"{n} B"
