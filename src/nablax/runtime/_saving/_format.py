"""A file of arrays by name, and how it is written: the safetensors format, with a manifest and checksums of our own in
its metadata.

    8 bytes   n, the length of the header: an unsigned integer, little-endian
    n bytes   the header: JSON, padded with spaces so that what follows begins at a multiple of 8
    ...       the arrays' bytes, without gaps, in the order of the header

The header is an object: by name `{"dtype", "shape", "data_offsets"}`, and `__metadata__`, which holds strings. There
stand a checksum (CRC-32) of the header, in which the checksum itself counts as eight zeros, and the manifest:

    {"version": 1, "entries": {name: {"crc32": ..., "dtype": ..., ...}}, ...}

So any reader of safetensors can read the arrays, nothing in the file is code, and a flipped bit is found and named
(`_file` reads). Nothing here knows where arrays come from or what they mean.

Source: the format's description, huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from nablax.core import ArgumentError
from nablax.runtime._saving._dtypes import Stored, stored, to_bytes

VERSION = 1
LARGEST_HEADER = 100_000_000  # what other readers allow
NO_SUM = "00000000"
START = b'{"__metadata__":{"checksum":"'


def write(
    path: Any,
    arrays: Mapping[str, Any],
    manifest: Mapping[str, Any] | None = None,
    notes: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Writes a file: all of it, or nothing.

    It is written beside its place under another name, and takes its place when it is on the disk: whoever opens the
    path finds the old file or the new one, whatever happens on the way. Arrays are fetched one at a time.

    Args:
      path: the file; one that is there is replaced.
      arrays: by name, anything with a shape and a dtype that `np.asarray` takes.
      manifest: what else there is to say, in JSON.
      notes: more for the manifest's entries, by name.

    Raises:
      ArgumentError: a dtype that cannot be stored.
      OSError: the file cannot be written; what was there before still is.
    """
    layout = {name: stored(a.shape, a.dtype) for name, a in arrays.items()}
    if "__metadata__" in layout:
        raise ArgumentError("save: '__metadata__' is no name for an array; the format keeps it for itself.")
    entries: dict[str, dict[str, Any]] = {
        name: {**(notes or {}).get(name, {}), "crc32": NO_SUM, "dtype": how.name}
        for name, how in layout.items()
    }
    told = {**(manifest or {}), "version": VERSION, "entries": entries}
    first = _header(layout, told)
    with _replacing(os.path.realpath(os.fspath(path))) as file:
        file.write(first)
        for name, how in layout.items():
            data = to_bytes(np.asarray(arrays[name]), how)
            if data.nbytes != how.nbytes:
                raise ArgumentError(f"save: {name} is no array of shape {how.shape} when it is read.")
            entries[name]["crc32"] = f"{zlib.crc32(data):08x}"
            file.write(data)
        last = _header(layout, told)  # of the same length: all checksums have eight digits
        file.seek(0)
        file.write(last)


def _header(layout: Mapping[str, Stored], manifest: Mapping[str, Any]) -> bytes:
    """The file's beginning, up to the first array."""
    text = json.dumps(manifest, separators=(",", ":"), allow_nan=False)
    header: dict[str, Any] = {"__metadata__": {"checksum": NO_SUM, "format": "nablax", "manifest": text}}
    end = 0
    for name, how in layout.items():
        start, end = end, end + how.nbytes
        header[name] = {"dtype": how.code, "shape": how.shape, "data_offsets": [start, end]}
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % 8)
    if len(data) > LARGEST_HEADER:
        raise ArgumentError(
            f"save: the names of {len(layout)} arrays need a header of {len(data)} bytes; 10**8 are allowed."
        )
    data = data.replace(START + NO_SUM.encode(), START + f"{zlib.crc32(data):08x}".encode(), 1)
    return len(data).to_bytes(8, "little") + data


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """A file that takes the path when all was written and is on the disk, and is gone otherwise."""
    folder, name = os.path.split(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"save: {path} is a folder; give the name of a file.")
    beside = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Puts the new name on the disk, too, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
