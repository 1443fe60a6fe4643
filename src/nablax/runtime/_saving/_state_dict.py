"""State dicts: parameters and states as arrays of the host by readable names, and how they are read back.

    {"version": 2,
     "arrays": {"params/layers/0/kernel": ..., "adamw/count": ..., "adamw/mu/layers/0/kernel": ..., ...},
     "keys": {"noisy_sgd/rng_key": "threefry2x32"},           of random keys, whose data stand among the arrays
     "steps": 12, "skipped_steps": 0,                                                          of an Optimizer
     "hyperparameters": {"adamw/learning_rate": 0.001, ...}, "by_hand": ["adamw/learning_rate"]}

Reading looks for each name that the running optimizer has, so another order of a chain, or of the file, is no matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nablax.core import TRANSFORMATION, StructureError, join, leaf_names, state_leaves, unique
from nablax.runtime._saving._file import File
from nablax.runtime._saving._format import write
from nablax.runtime._saving._host import Kept, implementation, is_key, shape_of, to_host, to_place
from nablax.runtime._saving._opened import closed, opened

VERSION = 2
_PARAMS = "params"


class Report(NamedTuple):
    """What was not loaded, by name.

    Attributes:
      missing: what the optimizer has and the state dict has not.
      extra: what the state dict has and the optimizer has not.
      mismatched: what both have, with another shape, dtype or random generator.
      hyperparameters: numbers in the state dict whose paths the optimizer does not have.
    """

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    hyperparameters: tuple[str, ...] = ()

    def check(self, who: str, details: Mapping[str, str]) -> None:
        """Refuses arrays that are not all there, or not all wanted.

        Raises:
          StructureError: there are any; the message names them.
        """
        told = [("missing", self.missing), ("extra", self.extra)]
        parts = [f"{kind}: {_listed(names)}" for kind, names in told if names]
        if self.mismatched:
            parts.append("mismatched: " + _listed([f"{n} ({details[n]})" for n in self.mismatched]))
        if parts:
            raise StructureError(
                f"{who}: the saved arrays do not fit; nothing was changed. {'. '.join(parts)}. "
                "strict=False loads those that fit, and keeps the others as they are."
            )


def _listed(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if names[6:] else "")


class Restored(NamedTuple):
    """state, params: as they were given, with the arrays of the state dict. report: what was not loaded."""

    state: Any
    params: Any
    report: Report


def named(tx: Any, state: Any, params: Any = None) -> dict[str, Any]:
    """The leaves of parameters and state by name: first `params/...`, then those of the state; packed ones apart."""
    params, state = opened((params, state))
    names = [join(_PARAMS, name) for name in leaf_names(params)]
    names += [leaf.name for leaf in state_leaves(tx, state)]
    return dict(zip(unique(names), jax.tree.leaves((params, state)), strict=True))


def state_dict(tx: Any, state: Any, params: Any = None) -> dict[str, Any]:
    """A copy of a transformation's state, and of parameters, as NumPy arrays by name.

    Args:
      tx: the transformation; its calls give the names.
      state: its state.
      params: tree of arrays; None leaves them out.

    Returns:
      `{"version": 2, "arrays": {name: array}, "keys": {name: generator}}`; keys says which arrays are the data of typed
      random keys.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import adamw
      >>> tx, params = adamw(1e-3), {"w": jnp.ones(2)}
      >>> list(state_dict(tx, tx.init(params), params)["arrays"])
      ['params/w', 'adamw/count', 'adamw/mu/w', 'adamw/nu/w']
    """
    TRANSFORMATION("state_dict", "tx", tx)
    leaves = named(tx, state, params)
    return {
        "version": VERSION,
        "arrays": {name: to_host(x) for name, x in leaves.items()},
        "keys": {name: implementation(x) for name, x in leaves.items() if is_key(x)},
    }


def load_state_dict(
    found: Mapping[str, Any], tx: Any, state: Any, params: Any = None, *, strict: bool = True
) -> Restored:
    """State and parameters with the arrays of a state dict. What was given stays as it was.

    Args:
      found: what `state_dict`, `from_torch` or `from_optax` returned; without parameters it leaves them as they are.
      tx: the transformation; its calls give the names.
      state: a state of it, as `tx.init(params)` makes it: structure, shapes, dtypes and shardings are taken from it.
      params: tree of arrays; None reads the state alone.
      strict: refuse what does not fit; False loads what does, and keeps the rest as it was given.

    Returns:
      `Restored(state, params, report)`.

    Raises:
      StructureError: another version; with strict, arrays that are missing, extra or of another shape or dtype.
    """
    TRANSFORMATION("load_state_dict", "tx", tx)
    mine = named(tx, state, params)
    new, report = fitted(found, mine, strict, whole=params is not None)
    params, state = placed(new, mine, (params, state))
    return Restored(state, params, report)


def fitted(
    found: Mapping[str, Any],
    mine: Mapping[str, Any],
    strict: bool,
    whole: bool = True,
    known: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], Report]:
    """The arrays of a state dict that fit, by name, still on the host, and the report on the others.

    Args:
      found: the state dict.
      mine: the leaves that are there, by name.
      strict: refuse others.
      whole: whether parameters are asked for.
      known: the hyperparameters that are there, by path; None asks for none.
    """
    version = found.get("version") if isinstance(found, Mapping) else found
    if version != VERSION:
        if isinstance(found, Mapping) and "param_groups" in found:
            raise StructureError(
                "load_state_dict: this is a state dict of torch; from_torch(found, opt.tx, params) reads it."
            )
        what = f"version {version!r}" if version is not None else f"{type(found).__name__} without a version"
        raise StructureError(
            f"load_state_dict: expected what state_dict() returns, of version {VERSION}, got {what}."
        )
    try:
        arrays = {name: x if isinstance(x, Kept) else np.asarray(x) for name, x in found["arrays"].items()}
        keys, numbers = dict(found.get("keys", {})), dict(found.get("hyperparameters", {}))
    except (KeyError, AttributeError, TypeError, ValueError) as e:
        raise StructureError(f"load_state_dict: this is no state dict: {e!r}.") from e
    has_params = any(map(_of_params, arrays))
    wanted = {name: x for name, x in mine.items() if has_params or not _of_params(name)}
    arrays = {name: x for name, x in arrays.items() if whole or not _of_params(name)}
    details = {
        name: difference
        for name, x in wanted.items()
        if name in arrays and (difference := _difference(arrays[name], keys.get(name), x))
    }
    report = Report(
        missing=tuple(name for name in wanted if name not in arrays),
        extra=tuple(name for name in arrays if name not in wanted),
        mismatched=tuple(details),
        hyperparameters=() if known is None else tuple(path for path in numbers if path not in known),
    )
    if strict:
        report.check("load_state_dict", details)
    return {name: arrays[name] for name in wanted if name in arrays and name not in details}, report


def _of_params(name: str) -> bool:
    return name == _PARAMS or name.startswith(_PARAMS + "/")


def _difference(array: np.ndarray | Kept, generator: str | None, mine: Any) -> str:
    """What is different in a saved array, in words; "" where it fits."""
    here = implementation(mine) if is_key(mine) else None
    shape, dtype = shape_of(mine)
    if (array.shape, array.dtype, generator) == (shape, dtype, here):
        return ""
    saved, own = [f"{s} {d}" + (f" of {g}" if g else "") for s, d, g in (
        (array.shape, array.dtype, generator), (shape, dtype, here),
    )]  # fmt: skip
    return f"{saved} saved, {own} here"


def placed(new: Mapping[str, Any], mine: Mapping[str, Any], trees: Any) -> Any:
    """The trees that `mine` names the leaves of, with new arrays, each where the old one is."""
    leaves = [to_place(new[name], x) if name in new else x for name, x in mine.items()]
    return closed(jax.tree.unflatten(jax.tree.structure(opened(trees)), leaves), trees)


def write_state_dict(path: Any, found: Mapping[str, Any]) -> None:
    """Writes a state dict of an `Optimizer` to a file."""
    rest = {k: v for k, v in found.items() if k not in ("arrays", "keys", "version")}
    notes = {name: {"key": generator} for name, generator in found["keys"].items()}
    write(path, found["arrays"], {"state_dict": {"version": found["version"], **rest}}, notes)


def read_state_dict(path: Any) -> dict[str, Any]:
    """The state dict of a file.

    Raises:
      FileError: the file is truncated, altered, or of another format.
      StructureError: the file holds something else.
    """
    with File(path) as file:
        rest = file.manifest.get("state_dict")
        if not isinstance(rest, dict):
            raise StructureError(
                f"{file.path} holds arrays, but no state dict of an optimizer; nablax.load reads it as a tree."
            )
        arrays = {name: file.read(name) for name in file.names}
        keys = {name: note["key"] for name, note in file.notes.items() if "key" in note}
    return {**rest, "arrays": arrays, "keys": keys}
