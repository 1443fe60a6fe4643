"""`from_torch`: the state of torch's optimizers, under our names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nablax.core import (
    ArgumentError,
    StructureError,
    hyperparams,
    leaf_names,
    state_leaves,
    with_extra_args_support,
)
from nablax.runtime._saving._state_dict import VERSION

_FIELDS = {"mu": "exp_avg", "nu": "exp_avg_sq", "nu_max": "max_exp_avg_sq", "trace": "momentum_buffer"}
_NUMBERS = {"learning_rate": "lr", "eps": "eps", "weight_decay": "weight_decay", "momentum": "momentum"}


def from_torch(state_dict: Mapping[str, Any], tx: Any, params: Any) -> dict[str, Any]:
    """What `state_dict()` of torch's Adam, AdamW or SGD returns, as a state dict of a transformation of ours.

    `Optimizer.load_state_dict` and `nablax.load_state_dict` take it; parameters stay as they are.

    Args:
      state_dict: torch's; its tensors may be NumPy arrays.
      tx: the transformation that is to go on, such as `adamw(...)` or `sgd(0.1, momentum=0.9)`.
      params: the parameters of tx, with torch's shapes and in torch's order: a list, or a dict in the order in which
        they were given to torch's optimizer.

    Returns:
      A state dict: moments, the count, and, where all of torch's groups have one value, the hyperparameters lr, betas,
      eps, weight_decay and momentum, as far as tx has them under its own names.

    Raises:
      ArgumentError: it is no state dict of these optimizers.
      StructureError: another number of parameters, or steps that differ between them.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import sgd
      >>> buffers = {0: {"momentum_buffer": np.ones(2, np.float32)}}
      >>> theirs = {"state": buffers, "param_groups": [{"lr": 0.1, "params": [0]}]}
      >>> from_torch(theirs, sgd(0.5, momentum=0.9), [jnp.zeros(2)])["arrays"]
      {'sgd/trace/0': array([1., 1.], dtype=float32)}
    """
    try:
        groups = list(state_dict["param_groups"])
        order = [i for group in groups for i in group["params"]]
        entries = [dict(state_dict["state"].get(i, {})) for i in order]
    except (KeyError, TypeError, AttributeError) as e:
        raise ArgumentError(
            f"from_torch: state_dict must be what torch's optimizers return, with 'state' and 'param_groups'; {e!r}."
        ) from e
    names = _in_order(params)
    if len(names) != len(order):
        raise StructureError(
            f"from_torch: torch's optimizer has {len(order)} parameters, params has {len(names)}."
        )
    by_name = dict(zip(names, entries, strict=True))
    tx = with_extra_args_support(tx)
    state = jax.eval_shape(tx.init, params)
    arrays: dict[str, np.ndarray] = {}
    for leaf, like in zip(state_leaves(tx, state, params), jax.tree.leaves(state), strict=True):
        field = leaf.field.rpartition("/")[2]
        if field == "count":
            arrays[leaf.name] = np.asarray(_steps(entries), like.dtype)
        elif leaf.param is not None and _FIELDS.get(field) in by_name[leaf.param]:
            arrays[leaf.name] = _array(by_name[leaf.param][_FIELDS[field]]).astype(like.dtype)
    numbers = {path: _number(groups, path.rpartition("/")[2]) for path in hyperparams(tx)}
    known = {path: value for path, value in numbers.items() if value is not None}
    return {"version": VERSION, "arrays": arrays, "keys": {}, "hyperparameters": known}


def _in_order(params: Any) -> list[str]:
    """The names of the parameters in the order in which they were given to torch."""
    if not isinstance(params, Mapping):
        return leaf_names(params)
    named = jax.tree.unflatten(jax.tree.structure(params), leaf_names(params))
    return [name for key in params for name in jax.tree.leaves(named[key])]


def _array(tensor: Any) -> np.ndarray:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.array(tensor)


def _steps(entries: list[dict[str, Any]]) -> int:
    counts = {int(_array(entry["step"])) for entry in entries if "step" in entry}
    if len(counts) > 1:
        raise StructureError(
            f"from_torch: torch's parameters were stepped different numbers of times: {sorted(counts)}; ours have one "
            "count. Use a partition with a transformation for each."
        )
    return counts.pop() if counts else 0


def _number(groups: list[dict[str, Any]], name: str) -> Any:
    """The value of a hyperparameter of ours in torch's groups; None where they have none, or several."""
    if name in ("b1", "b2"):
        values = {group["betas"][int(name[1]) - 1] for group in groups if "betas" in group}
    else:
        values = {float(group[_NUMBERS[name]]) for group in groups if _NUMBERS.get(name) in group}
    return float(values.pop()) if len(values) == 1 else None
