"""`from_torch`: the state of torch's optimizers, under our names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nablax.core import (
    ArgumentError,
    Part,
    Rule,
    StructureError,
    hyperparams,
    leaf_names,
    parts,
    state_leaves,
    with_extra_args_support,
)
from nablax.runtime._saving._state_dict import VERSION

_FIELDS = {"mu": "exp_avg", "nu": "exp_avg_sq", "trace": "momentum_buffer"}
_NUMBERS = {"learning_rate": "lr", "eps": "eps", "weight_decay": "weight_decay", "momentum": "momentum"}


class _Theirs(NamedTuple):
    """What torch has for one parameter: the options of its group, and its state, {} before its first step."""

    group: Mapping[str, Any]
    state: Mapping[str, Any]


def from_torch(state_dict: Mapping[str, Any], tx: Any, params: Any) -> dict[str, Any]:
    """What `state_dict()` of torch's Adam, AdamW or SGD returns, as a state dict of a transformation of ours.

    `Optimizer.load_state_dict` and `nablax.load_state_dict` take it; parameters stay as they are. What tx cannot go on
    with exactly is refused: another Nesterov setting, a weight decay that tx does not have or has at the other place
    (torch's Adam and SGD add it to the gradient: `chain(add_decayed_weights(w), adam(r))`), dampening, maximize, and
    amsgrad, which keeps the largest second moment after its bias correction here and before it there.

    Args:
      state_dict: torch's; its tensors may be NumPy arrays.
      tx: the transformation that is to go on, such as `adamw(...)` or `sgd(0.1, momentum=0.9)`; for groups with numbers
        of their own a partition.
      params: the parameters of tx, with torch's shapes and in torch's order: a list, or a dict, nested too, in the
        order in which they were given to torch's optimizer.

    Returns:
      A state dict: moments, counts, and the hyperparameters lr, betas, eps, weight_decay and momentum under the names
      that tx has for them; a schedule of tx keeps its say. SGD has no count in torch: a schedule's count is left out.

    Raises:
      ArgumentError: it is no state dict of these optimizers.
      StructureError: another number or shape of parameters; numbers or counts that differ between parameters for which
        tx has one; or what tx cannot go on with, as above.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import sgd
      >>> buffers = {0: {"momentum_buffer": np.ones(2, np.float32)}}
      >>> theirs = {"state": buffers, "param_groups": [{"lr": 0.1, "params": [0]}]}
      >>> from_torch(theirs, sgd(0.5, momentum=0.9), [jnp.zeros(2)])["arrays"]
      {'sgd/trace/0': array([1., 1.], dtype=float32)}
    """
    names = list(_in_order(_named(params), params))
    theirs = _by_name(state_dict, names)
    tx = with_extra_args_support(tx)
    state, found = jax.eval_shape(tx.init, params), parts(tx, params)
    for name, their in theirs.items():
        _check(name, their, [part for part in found if name in jax.tree.leaves(part.leaves)])
    arrays: dict[str, np.ndarray] = {}
    used: set[tuple[str, str]] = set()
    for leaf, like in zip(state_leaves(tx, state, params), jax.tree.leaves(state), strict=True):
        field = leaf.field.rpartition("/")[2]
        if field == "count":
            ours = {name for part in found if part.path == leaf.path for name in jax.tree.leaves(part.leaves)}
            step = _step(leaf.name, {name: their for name, their in theirs.items() if name in ours})
            if step is not None:
                arrays[leaf.name] = np.asarray(step, like.dtype)
        elif leaf.param is not None and field in _FIELDS:
            used.add((leaf.param, _FIELDS[field]))
            value = theirs[leaf.param].state.get(_FIELDS[field])
            if value is not None and np.shape(value) != like.shape:
                raise StructureError(
                    f"from_torch: {_FIELDS[field]} of {leaf.param} has shape {tuple(np.shape(value))} in torch, "
                    f"{like.shape} here."
                )
            if value is not None or not theirs[leaf.param].state:
                arrays[leaf.name] = (
                    np.zeros(like.shape, like.dtype) if value is None else _array(value).astype(like.dtype)
                )
    for name, their in theirs.items():
        for field in _FIELDS.values():
            if their.state.get(field) is not None and (name, field) not in used:
                raise StructureError(
                    f"from_torch: torch has {field} for {name}, and tx keeps nothing like it."
                )
    numbers = {
        path: _number(path, found, theirs) for path, value in hyperparams(tx).items() if not callable(value)
    }
    known = {path: value for path, value in numbers.items() if value is not None}
    return {"version": VERSION, "arrays": arrays, "keys": {}, "hyperparameters": known}


def _named(params: Any) -> Any:
    return jax.tree.unflatten(jax.tree.structure(params), leaf_names(params))


def _in_order(names: Any, params: Any) -> Iterator[str]:
    """The names of the parameters in the order in which they were given to torch: that of dicts, not of their keys."""
    if isinstance(params, Mapping):
        for key in params:
            yield from _in_order(names[key], params[key])
    elif type(params) in (list, tuple):
        for name, below in zip(names, params, strict=True):
            yield from _in_order(name, below)
    else:
        yield from jax.tree.leaves(names)


def _by_name(state_dict: Mapping[str, Any], names: list[str]) -> dict[str, _Theirs]:
    try:
        groups = list(state_dict["param_groups"])
        found = [
            _Theirs(group, dict(state_dict["state"].get(i, {}))) for group in groups for i in group["params"]
        ]
    except (KeyError, TypeError, AttributeError) as e:
        raise ArgumentError(
            f"from_torch: state_dict must be what torch's optimizers return, with 'state' and 'param_groups'; {e!r}."
        ) from e
    if len(names) != len(found):
        raise StructureError(
            f"from_torch: torch's optimizer has {len(found)} parameters, params has {len(names)}."
        )
    return dict(zip(names, found, strict=True))


def _check(name: str, their: _Theirs, on: list[Part]) -> None:
    """Refuses what the parts that work on a parameter do otherwise than torch."""
    group = their.group
    moving = bool(group.get("momentum"))
    odd = [option for option in ("maximize", "amsgrad") if group.get(option)]
    odd += ["dampening"] if moving and group.get("dampening") else []
    if odd:
        raise StructureError(
            f"from_torch: {name} has {odd[0]}={group[odd[0]]} in torch, which tx cannot go on with."
        )
    rules = [part.body for part in on if isinstance(part.body, Rule)]
    if any(part.body is None for part in on):
        return  # parts of other libraries keep to themselves what they do
    nesterov = any(bool(rule.options.get("nesterov")) for rule in rules)
    if (moving or "betas" in group) and nesterov != bool(group.get("nesterov", False)):
        raise StructureError(
            f"from_torch: {name} has nesterov={not nesterov} in torch, and {nesterov} in tx."
        )
    decay = group.get("weight_decay", 0)
    if decay:
        places = {"update", "gradient"}  # it is added to, as far as the group says
        if "decoupled_weight_decay" in group or "momentum" in group:
            places = {"update" if group.get("decoupled_weight_decay") else "gradient"}
        if not places & _decayed(rules):
            raise StructureError(
                f"from_torch: {name} decays in torch by weight_decay={decay}, added to the {min(places)}, which tx "
                "does not do. adamw adds it to the update, chain(add_decayed_weights(...), adam(...)) to the gradient."
            )


def _decayed(rules: list[Rule]) -> set[str]:
    """What weight decay is added to: the gradient before moments, the update after them, and without any it is both."""
    decays = [i for i, rule in enumerate(rules) if "weight_decay" in rule.hyperparams]
    moments = [i for i, rule in enumerate(rules) if _holds(rule, *_FIELDS)]
    if not decays:
        return set()
    return {"gradient" if decays[0] < moments[0] else "update"} if moments else {"gradient", "update"}


def _holds(rule: Any, *fields: str) -> bool:
    return any(field in fields for field in getattr(rule, "roles", None) or ())


def _array(tensor: Any) -> np.ndarray:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.array(tensor)


def _step(name: str, theirs: Mapping[str, _Theirs]) -> int | None:
    """The count of these parameters; None where torch does not count."""
    steps = {int(_array(their.state["step"])) if "step" in their.state else None if their.state else 0
             for their in theirs.values()}  # fmt: skip
    if len(steps) > 1:
        raise StructureError(
            f"from_torch: torch's parameters were stepped different numbers of times, {sorted(map(str, steps))}; "
            f"{name} is one count. Use a partition with a transformation for each."
        )
    return steps.pop() if steps else 0


def _number(path: str, found: list[Part], theirs: Mapping[str, _Theirs]) -> float | None:
    """The value that a hyperparameter of ours has in torch, for the parameters that it works on; None without any."""
    where, _, name = path.rpartition("/")
    mine = [part for part in found if not where or part.path == where or part.path.startswith(where + "/")]
    if name == "decay" and any(_holds(part.body, "trace") for part in mine):
        name = "momentum"
    direct = [part for part in mine if name in getattr(part.body, "hyperparams", ())]
    on = {leaf for part in direct or mine for leaf in jax.tree.leaves(part.leaves)}
    groups = [theirs[leaf].group for leaf in theirs if leaf in on]
    if name in ("b1", "b2"):
        values = {float(group["betas"][int(name[1]) - 1]) for group in groups if "betas" in group}
    else:
        values = {float(group[_NUMBERS[name]]) for group in groups if _NUMBERS.get(name) in group}
    if len(values) > 1:
        raise StructureError(
            f"from_torch: {path} is one number, and torch's groups have {sorted(values)}. Use a partition with a "
            "transformation for each group."
        )
    return values.pop() if values else None
