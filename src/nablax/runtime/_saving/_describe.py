"""`describe`: what happens to each parameter, and what it costs, from shapes alone."""

from __future__ import annotations

import collections
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import Part, Rule, leaf_names, parts, state_leaves, with_extra_args_support
from nablax.runtime import _tensors as tensors_of
from nablax.runtime._sharding import Memory, describe_memory
from nablax.runtime._sharding import shown_size as shown


class LeafRow(NamedTuple):
    """name, shape, dtype: of the parameter. group: labels of the partitions on the way to it. optimizer: the calls that
    work on it. decay: the weight decay that applies, None without any. state_bytes: what the state holds for it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    group: str
    optimizer: str
    decay: Any
    state_bytes: int


class Description(NamedTuple):
    """What `describe` found; prints as tables.

    Attributes:
      leaves: a row for each parameter.
      shared: bytes of the state that belong to no parameter alone, such as counts.
      memory: bytes of parameters, gradients and the state's fields, on all devices and on each.
    """

    leaves: tuple[LeafRow, ...]
    shared: int
    memory: Memory

    def __str__(self) -> str:
        grouped = any(row.group for row in self.leaves)
        head = ["parameter", "shape", "dtype", *(["group"] if grouped else []), "optimizer", "decay", "state"]
        lines = [head]
        for row in self.leaves:
            decay = (
                "-"
                if row.decay is None
                else f"{row.decay:g}"
                if isinstance(row.decay, float | int)
                else "schedule"
            )
            shape = "x".join(map(str, row.shape)) or "scalar"
            group = [row.group or "-"] if grouped else []
            lines.append([row.name, shape, row.dtype, *group, row.optimizer, decay, shown(row.state_bytes)])
        count = sum(math.prod(row.shape) for row in self.leaves)
        total = self.shared + sum(row.state_bytes for row in self.leaves)
        lines.append([f"{len(self.leaves)} leaves", f"{count:,}", *[""] * (len(head) - 3), shown(total)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(x.ljust(w) for x, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*text, "", str(self.memory)])


def describe(
    tx: Any, params: Any, *, mesh: Any = None, axis: str | tuple[str, ...] = "data", param_specs: Any = None
) -> Description:
    """Which transformation works on which parameter, with which decay, and how many bytes it all takes.

    Nothing is allocated: shapes are enough, and with an abstract mesh 70 billion parameters on 512 devices are planned
    on a laptop.

    Args:
      tx: a transformation.
      params: tree of arrays, of `jax.ShapeDtypeStruct` (with shardings, where they are split), or of tensors of
        autograd; what else a module holds is passed over.
      mesh: devices to spread the state over as `shard_state` does, also a `jax.sharding.AbstractMesh`; None is one.
      axis, param_specs: as in `shard_state`.

    Returns:
      A `Description`, which prints as tables.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import adamw
      >>> print(describe(adamw(1e-3, mask={"w": True, "b": False}), {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}))
      parameter  shape  dtype    optimizer  decay   state
      b          3      float32  adamw      -       24 B
      w          2x3    float32  adamw      0.0001  48 B
      2 leaves   9                                  76 B
      <BLANKLINE>
                   arrays  bytes  on each of 1
      parameters        2   36 B          36 B
      gradients         2   36 B          36 B
      adamw/count       1    4 B           4 B
      adamw/mu          2   36 B          36 B
      adamw/nu          2   36 B          36 B
      all               9  148 B         148 B
    """
    tx = with_extra_args_support(tx)
    params = tensors_of.arrays(params) if tensors_of.holds_tensors(params) else params
    arrays = jax.tree.map(lambda x: x if _is_number(x) else None, params)
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), arrays)
    state = jax.eval_shape(tx.init, params)
    held: collections.Counter[str | None] = collections.Counter()
    for leaf, x in zip(state_leaves(tx, state, params), jax.tree.leaves(state), strict=True):
        held[leaf.param] += _bytes(x)
    found: dict[str, list[Part]] = collections.defaultdict(list)
    for part in parts(tx, params, state):
        for name in jax.tree.leaves(part.leaves):
            found[name].append(part)
    rows = [
        LeafRow(
            name,
            tuple(x.shape),
            x.dtype.name,
            max((part.group for part in found[name]), key=len, default=""),
            " > ".join(dict.fromkeys(part.shown for part in found[name] if part.shown)) or "-",
            _decay(found[name]),
            held[name],
        )
        for name, x in zip(leaf_names(params), jax.tree.leaves(params), strict=True)
    ]
    return Description(
        tuple(rows), held[None], describe_memory(tx, arrays, mesh=mesh, axis=axis, param_specs=param_specs)
    )


def _is_number(x: Any) -> bool:
    """Whether it is an array, a shape of one, or a number, not what a module holds beside these, such as functions."""
    return (hasattr(x, "shape") and hasattr(x, "dtype")) or isinstance(x, int | float | complex)


def _decay(on: list[Part]) -> Any:
    """The weight decay of the rules on a leaf: a number, a schedule, or None."""
    rules = [part.body for part in on if isinstance(part.body, Rule)]
    values = [rule.hyperparams["weight_decay"] for rule in rules if "weight_decay" in rule.hyperparams]
    kept = [value for value in values if callable(value) or not isinstance(value, float | int) or value != 0]
    return kept[0] if kept else None


def _bytes(x: Any) -> int:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.eval_shape(jax.random.key_data, x)
    return math.prod(x.shape) * jnp.dtype(x.dtype).itemsize
