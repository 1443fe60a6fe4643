"""Tensors in files: a dict of names and tensors as .npz or .safetensors, never pickled.

Dicts inside dicts become dotted names, and stay that: what comes back is one flat dict, as `state_dict` is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import zipfile
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
    elif prefix in into or prefix == _DTYPES:
        raise ValueError(
            f"save: every name must be there once, and none be {_DTYPES!r}; got {prefix!r} again."
        )
    elif isinstance(tree, Recorded | jax.Array | np.ndarray | bool | int | float | complex | np.generic):
        value = np.asarray(realize(tree) if isinstance(tree, Recorded) else tree, order="C")
        if value.dtype.kind in "OSUM":
            raise TypeError(f"save: numbers are needed, got dtype {value.dtype} at {prefix!r}.")
        into[prefix] = value
    else:
        raise TypeError(
            f"save: a dict of tensors, arrays and numbers is needed (a module's is its state_dict()), got a "
            f"{type(tree).__name__} at {prefix or 'the top'!r}. Other objects are not saved: a file that holds them "
            f"can run code when it is opened."
        )


def save(tensors: Mapping[str, Any], path: Any) -> None:
    """Write a dict of tensors to a file: .safetensors where the name ends so (needs that package), else NumPy's .npz.

    Args:
      tensors: names and tensors, arrays or numbers; dicts inside become dotted names. Dtypes stay as they are.
      path: a name, or a file that is open for writing bytes (which gets .npz).

    Raises:
      TypeError: something that is no dict of tensors, arrays and numbers; a dtype that the format does not know.
      ValueError: two values of one name, as in {"a.b": x, "a": {"b": y}}.

    >>> import io
    >>> from nablax import autograd
    >>> file = io.BytesIO()
    >>> autograd.save({"layer": {"w": autograd.tensor([1., 2.])}}, file)
    >>> position = file.seek(0)
    >>> autograd.load(file)
    {'layer.w': tensor([1., 2.])}
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(
            f"save: a dict of names and tensors is needed, got a {type(tensors).__name__}; "
            "save({'x': x}, path), or save(module.state_dict(), path)."
        )
    found: dict[str, np.ndarray] = {}
    _flat("", tensors, found)
    if str(path).endswith(".safetensors"):
        try:
            _safetensors("numpy").save_file(found, str(path))
        except _safetensors("").SafetensorError as error:
            kinds = ", ".join(sorted({v.dtype.name for v in found.values()}))
            raise TypeError(f"save: {error}; the dtypes here are {kinds}. A .npz file takes all.") from error
        return
    strange = {k: v.dtype.name for k, v in found.items() if v.dtype.kind == "V" or v.dtype.name == "bfloat16"}
    arrays = {k: v.view(f"u{v.itemsize}") if k in strange else v for k, v in found.items()}
    if strange:
        arrays[_DTYPES] = np.frombuffer(json.dumps(strange).encode(), np.uint8)
    with contextlib.nullcontext(path) if hasattr(path, "write") else Path(path).open("wb") as file:
        _write(file, arrays)


def _write(file: Any, arrays: dict[str, np.ndarray]) -> None:
    """NumPy's .npz, in which an array may have any name: np.savez has arguments of its own."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _safetensors(part: str) -> Any:
    try:
        return importlib.import_module(f"safetensors.{part}".rstrip("."))
    except ImportError as error:
        raise ImportError("a .safetensors file needs the package safetensors; .npz needs none.") from error


def load(path: Any, *, weights_only: bool = True) -> dict[str, Tensor]:
    """The dict of tensors in a file that `save` wrote, or any other .npz or .safetensors.

    64 bits become 32 without x64. Nothing is ever unpickled: `weights_only` is always True.

    Raises:
      ValueError: weights_only=False; a file that holds anything but arrays, as those of torch.save.
      FileNotFoundError: no such file.
    """
    if weights_only is not True:
        raise ValueError(
            f"load: weights_only must be True, got {weights_only!r}: only tensors are read, never pickles."
        )
    if str(path).endswith(".safetensors"):
        return {k: tensor(v) for k, v in _safetensors("flax").load_file(str(path)).items()}
    try:
        opened = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(_NOT_ARRAYS.format(path)) from error
    if isinstance(opened, np.ndarray):
        raise ValueError(f"load: {path} holds one array without a name; np.load reads it.")
    with opened as file:
        strange = json.loads(file[_DTYPES].tobytes()) if _DTYPES in file else {}
        found = {k: file[k] for k in file.files if k != _DTYPES}
    if any(isinstance(v, bytes) for v in found.values()):
        raise ValueError(_NOT_ARRAYS.format(path))
    return {k: tensor(v.view(jax.numpy.dtype(strange[k])) if k in strange else v) for k, v in found.items()}


_NOT_ARRAYS = (
    "load: {} is neither .npz nor .safetensors. A file of torch.save is a pickle, which can run code when it is "
    "opened; in torch, safetensors.torch.save_file(module.state_dict(), 'x.safetensors') writes one that is read here."
)
