"""`save` and `load`: any tree of arrays and plain values as one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nablax.core import PATH, ArgumentError, StructureError, leaf_names
from nablax.runtime import _tensors as tensors_of
from nablax.runtime._saving._file import File
from nablax.runtime._saving._format import write
from nablax.runtime._saving._host import Kept, implementation, is_key, key_of, shape_of, to_host, to_place

_OUT = {
    "bool": bool,
    "int": int,
    "float": float.hex,
    "complex": lambda z: [z.real.hex(), z.imag.hex()],
    "str": str,
}
_IN: dict[str, Any] = {
    "bool": bool, "int": int, "float": float.fromhex, "complex": lambda z: complex(*map(float.fromhex, z)), "str": str,
}  # fmt: skip


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct | Kept)


def _leaves(who: str, tree: Any) -> dict[str, Any]:
    """The leaves by name that a file holds: arrays and plain values. Functions are left out."""
    if tensors_of.holds_tensors(tree):
        tree = tensors_of.values(tree)
    out = {}
    for name, x in zip(leaf_names(tree), jax.tree.leaves(tree), strict=True):
        if not _is_array(x) and type(x).__name__ not in _OUT:
            if callable(x):
                continue
            raise ArgumentError(
                f"{who}: {name} is no array, number or string, but {type(x).__name__}: {x!r}."[:300]
            )
        out[name] = x
    return out


def save(path: Any, tree: Any) -> None:
    """Writes a tree to one file, by the names of its leaves: all of it, or nothing.

    The file is of the safetensors format, with a manifest and checksums in its metadata: any reader of safetensors
    reads the arrays, and nothing is ever unpickled. An old file stays until the new one is complete on the disk.

    Args:
      path: the file, `.safetensors` as a rule.
      tree: of arrays (bfloat16, 8-bit and 4-bit ones, typed random keys too), tensors of autograd, numbers and strings.
        Functions, such as those of a module, are left out.

    Raises:
      ArgumentError: a leaf of another kind.
      OSError: the file cannot be written.

    Example:
      >>> import os, tempfile
      >>> import jax.numpy as jnp
      >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
      >>> save(path, {"layers": [{"kernel": jnp.ones(2)}], "epoch": 3})
      >>> load(path)
      {'layers/0/kernel': array([1., 1.], dtype=float32), 'epoch': 3}
      >>> load(path, like={"layers": [{"kernel": jnp.zeros(2)}], "epoch": 0})
      {'epoch': 3, 'layers': [{'kernel': Array([1., 1.], dtype=float32)}]}
    """
    PATH("save", "path", path)
    arrays, values = arrays_and_values("save", tree)
    notes = {name: {"key": implementation(x)} for name, x in arrays.items() if is_key(x)}
    write(path, {name: Fetched(x) for name, x in arrays.items()}, {"values": values}, notes)


def arrays_and_values(who: str, tree: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a tree by name, and the numbers and strings as a manifest has them.

    Raises:
      ArgumentError: a leaf of another kind; `who` says so.
    """
    leaves = _leaves(who, tree)
    arrays = {name: x for name, x in leaves.items() if _is_array(x)}
    values = {
        name: {kind: _OUT[kind](x)}  # type: ignore[operator]
        for name, x in leaves.items()
        if name not in arrays and (kind := type(x).__name__)
    }
    return arrays, values


class Fetched:
    """An array that is fetched from its device when it is written."""

    def __init__(self, array: Any):
        self._array = array
        self.shape, self.dtype = shape_of(array)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return to_host(self._array)


def load(path: Any, like: Any = None) -> Any:
    """Reads a file of `save`, of `Optimizer.save`, or any of the safetensors format.

    Args:
      path: the file.
      like: a tree with the structure, shapes and dtypes that are expected; `jax.ShapeDtypeStruct` for arrays is enough.
        None takes the file as it is.

    Returns:
      With `like`, a tree of its structure: arrays with its shardings where it has JAX's, NumPy's where it has NumPy's;
      what a file does not hold, such as functions, is that of `like`. Without, a dict by name of NumPy's arrays, typed
      keys, numbers and strings.

    Raises:
      FileError: the file is truncated, altered, or of another format; the message names it.
      StructureError: a leaf of `like` is missing or different in the file, or the file has more.
    """
    PATH("load", "path", path)
    with File(path) as file:
        found = _read(file)
    return found if like is None else fitted_tree(found, like, file.path)


def _read(file: File) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in file.names:
        array = file.read(name)
        generator = file.notes.get(name, {}).get("key")
        found[name] = array if generator is None else key_of(array, generator)
    return {**found, **read_values(file.manifest.get("values", {}))}


def read_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and strings of a manifest."""
    return {name: _IN[kind](x) for name, value in values.items() for kind, x in value.items()}


def fitted_tree(found: Mapping[str, Any], like: Any, path: str) -> Any:
    """The tree of `like` with arrays and values found by name.

    Raises:
      StructureError: a leaf is missing or different in what was found, or it has more.
    """
    wanted = _leaves("load", like)
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{name} is not asked for" for name in found if name not in wanted]
    wrong += [
        f"{name} is {_kind(found[name])} in the file, {_kind(x)} expected"
        for name, x in wanted.items()
        if name in found and _kind(found[name]) != _kind(x)
    ]
    if wrong:
        more = f" and {len(wrong) - 6} more" if wrong[6:] else ""
        raise StructureError(f"load: {path} does not fit: {'; '.join(wrong[:6])}{more}.")
    leaves = [
        _at(found[name], x) if name in wanted else x
        for name, x in zip(leaf_names(like), jax.tree.leaves(like), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _kind(x: Any) -> str:
    """Shape and dtype, generators of keys included, or the type of a plain value."""
    if is_key(x):
        return f"{x.shape} keys of {implementation(x)}"
    return f"{tuple(x.shape)} {x.dtype.name}" if _is_array(x) else type(x).__name__


def _at(found: Any, like: Any) -> Any:
    if isinstance(like, np.generic):
        return like.dtype.type(found)
    if isinstance(like, jax.Array | jax.ShapeDtypeStruct):
        return to_place(jax.random.key_data(found), like) if is_key(like) else to_place(found, like)
    return np.asarray(found) if isinstance(found, Kept) else found
