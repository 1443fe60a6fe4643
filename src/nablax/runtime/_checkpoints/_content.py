"""What a checkpoint holds of an `Optimizer` or a tree, and how it goes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from nablax.core import StructureError
from nablax.runtime._optimizer import Optimizer
from nablax.runtime._saving import arrays_and_values, fitted_tree, implementation, is_key, key_of, read_values


class Content(NamedTuple):
    """What is written, and what is read.

    Attributes:
      arrays: by name; of random keys, their data.
      keys: the generators of those that are keys.
      told: the rest, in JSON: `state_dict` of an optimizer, or `values` of a tree.
    """

    arrays: Mapping[str, Any]
    keys: Mapping[str, str]
    told: Mapping[str, Any]


def content_of(who: str, opt: Any) -> Content:
    """What there is to write; arrays stay where they are.

    Raises:
      ArgumentError: a leaf of a tree that is no array, number or string.
    """
    if isinstance(opt, Optimizer):
        with opt._shield:
            arrays, told = opt._named(), {"state_dict": opt._told()}
    else:
        arrays, values = arrays_and_values(who, opt)
        told = {"values": values}
    keys = {name: implementation(x) for name, x in arrays.items() if is_key(x)}
    data = {name: _data(x) if name in keys else x for name, x in arrays.items()}
    return Content(data, keys, told)


def _data(keys: Any) -> Any:
    """The data of random keys, or their shape."""
    if isinstance(keys, jax.Array):
        return jax.random.key_data(keys)
    return jax.eval_shape(jax.random.key_data, keys)


def put_back(opt: Any, found: Content, where: str) -> Any:
    """The optimizer, which goes on from what was found, or a tree like the one that was given.

    Raises:
      StructureError: what was found does not fit, or is of the other kind.
    """
    kind = "state_dict" if isinstance(opt, Optimizer) else "values"
    if kind not in found.told:
        other = "an Optimizer" if kind == "values" else "a tree"
        raise StructureError(f"CheckpointManager.restore: {where} holds {other}; got {type(opt).__name__}.")
    if isinstance(opt, Optimizer):
        opt.load_state_dict({**found.told[kind], "arrays": found.arrays, "keys": found.keys})
        return opt
    arrays = {
        name: key_of(x, found.keys[name]) if name in found.keys else x for name, x in found.arrays.items()
    }
    return fitted_tree({**arrays, **read_values(found.told[kind])}, opt, where)
