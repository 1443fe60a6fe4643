"""Dtypes in files: how the entries of each are stored, and what they are when they come back.

A safetensors file knows the common dtypes. The rest is stored as one of these: a complex number as a pair of reals, an
integer of fewer than 8 bits as one of 8, other small floats as their bits. The manifest has the name of the true one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nablax.core import ArgumentError

_CODES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip
_DTYPES = {code: name for name, code in _CODES.items()}
_AS = {
    "complex64": "float32",
    "complex128": "float64",
    "int4": "int8",
    "int2": "int8",
    "uint4": "uint8",
    "uint2": "uint8",
}
_SMALL = ("float4_", "float6_", "float8_")  # stored as their bits


class Stored(NamedTuple):
    """code: the dtype in the file. dtype: that of NumPy there. shape: there. name: of the true dtype."""

    code: str
    dtype: Any
    shape: tuple[int, ...]
    name: str

    @property
    def nbytes(self) -> int:
        """The number of bytes in the file."""
        size = self.dtype.itemsize
        for n in self.shape:
            size *= n
        return size


def stored(shape: Any, dtype: Any) -> Stored:
    """How an array is stored.

    Raises:
      ArgumentError: a dtype that no file can hold, such as that of objects.
    """
    name = np.dtype(dtype).name
    shape = tuple(map(int, shape))
    kept = _AS.get(name, "uint8" if name.startswith(_SMALL) and name not in _CODES else name)
    if kept not in _CODES:
        raise ArgumentError(f"save: arrays of dtype {name} cannot be stored.")
    paired = (2,) if name.startswith("complex") else ()
    return Stored(_CODES[kept], jnp.dtype(kept), (*shape, *paired), name)


def to_bytes(array: np.ndarray, how: Stored) -> memoryview:
    """The bytes of an array, little-endian, in the order of C; of a contiguous one without a copy."""
    array = np.ascontiguousarray(array)
    if how.name.startswith("complex") or how.name.startswith(_SMALL):
        array = array.reshape(-1).view(how.dtype)
    elif how.name in _AS:
        array = array.astype(how.dtype)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def from_bytes(data: Any, code: str, shape: tuple[int, ...], name: str | None) -> np.ndarray:
    """The array of these bytes, which are the file's.

    Args:
      data: a buffer; the array keeps it.
      code, shape: as the file has them.
      name: of the true dtype; None is the file's own.

    Raises:
      ValueError: the name does not fit the code.
    """
    array = np.frombuffer(data, jnp.dtype(_DTYPES[code])).reshape(shape)
    if name is None or name == _DTYPES[code]:
        return array
    true = jnp.dtype(name)
    kept = shape[:-1] if name.startswith("complex") else shape
    if stored(kept, true)[:3] != (code, array.dtype, shape):
        raise ValueError(f"{name} is not stored as {code}")
    if name.startswith("complex") or name.startswith(_SMALL):
        return array.reshape(-1).view(true).reshape(kept)
    return array.astype(true)


def restored(code: str, shape: Any, name: str | None) -> tuple[tuple[int, ...], Any]:
    """The shape and dtype that `from_bytes` gives."""
    true = jnp.dtype(name or _DTYPES[code])
    return tuple(shape[:-1] if true.name.startswith("complex") else shape), true


def known(code: Any) -> bool:
    """Whether a file's code of a dtype is one that can be read."""
    return code in _DTYPES


def itemsize(code: str) -> int:
    """The bytes of one entry."""
    return jnp.dtype(_DTYPES[code]).itemsize
