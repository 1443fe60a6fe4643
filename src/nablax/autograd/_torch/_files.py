"""Tensors in files: a dict of names and tensors as .npz or .safetensors, never pickled.

Dicts inside dicts become dotted names, and stay that: what comes back is one flat dict, as `state_dict` is.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._path._recorded import Recorded
from .._segment._flush import realize
from .._tensor._tensor import Tensor, tensor

_DTYPES = "__dtypes__"  # of arrays whose dtype NumPy's format does not know, as JSON


def _flat(prefix: str, tree: Any, into: dict[str, np.ndarray]) -> None:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if not isinstance(key, str):
                raise TypeError(f"save: names must be strings, got {key!r}.")
            _flat(f"{prefix}.{key}" if prefix else key, value, into)
    elif isinstance(tree, Recorded | jax.Array | np.ndarray | bool | int | float | complex | np.generic):
        into[prefix] = np.asarray(realize(tree) if isinstance(tree, Recorded) else tree)
    else:
        raise TypeError(
            f"save: a dict of tensors, arrays and numbers is needed (a module's is its state_dict()), got a "
            f"{type(tree).__name__} at {prefix or 'the top'!r}. Other objects are not saved: a file that holds them "
            f"can run code when it is opened."
        )


def save(tensors: Mapping[str, Any], path: Any) -> None:
    """Write a dict of tensors to a file: .safetensors where the name ends so (needs that package), else NumPy's .npz.

    Raises:
      TypeError: something that is no dict of tensors, arrays and numbers.
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(
            f"save: a dict of names and tensors is needed, got a {type(tensors).__name__}; "
            "save({'x': x}, path), or save(module.state_dict(), path)."
        )
    found: dict[str, np.ndarray] = {}
    _flat("", tensors, found)
    if str(path).endswith(".safetensors"):
        _safetensors().save_file({k: jax.numpy.asarray(v) for k, v in found.items()}, str(path))
        return
    strange = {k: v.dtype.name for k, v in found.items() if v.dtype.kind == "V" or v.dtype.name == "bfloat16"}
    arrays = {k: v.view(f"u{v.itemsize}") if k in strange else v for k, v in found.items()}
    if strange:
        arrays[_DTYPES] = np.frombuffer(json.dumps(strange).encode(), np.uint8)
    with Path(path).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.flax")
    except ImportError as error:
        raise ImportError("a .safetensors file needs the package safetensors; .npz needs none.") from error


def load(path: Any) -> dict[str, Tensor]:
    """The dict of tensors in a file that `save` wrote."""
    if str(path).endswith(".safetensors"):
        return {k: tensor(v) for k, v in _safetensors().load_file(str(path)).items()}
    with np.load(path, allow_pickle=False) as file:
        strange = json.loads(file[_DTYPES].tobytes()) if _DTYPES in file else {}
        return {
            k: tensor(file[k].view(jax.numpy.dtype(strange[k])) if k in strange else file[k])
            for k in file.files
            if k != _DTYPES
        }
