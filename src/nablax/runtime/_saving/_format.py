"""A file of arrays by name: the safetensors format, with a manifest and checksums of our own in its metadata.

    8 bytes   n, the length of the header: an unsigned integer, little-endian
    n bytes   the header: JSON, padded with spaces so that what follows begins at a multiple of 8
    ...       the arrays' bytes, without gaps, in the order of the header

The header is an object: by name `{"dtype", "shape", "data_offsets"}`, and `__metadata__`, which holds strings. There
stand a checksum (CRC-32) of the header, in which the checksum itself counts as eight zeros, and the manifest:

    {"version": 1, "entries": {name: {"crc32": ..., "dtype": ..., ...}}, ...}

So any reader of safetensors can read the arrays, nothing in the file is code, and a flipped bit is found and named.
Files without a manifest are read as they are. Nothing here knows where arrays come from or what they mean.

Source: the format's description, huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from nablax.core import ArgumentError, FileError
from nablax.runtime._saving._dtypes import Stored, from_bytes, itemsize, known, restored, stored, to_bytes

VERSION = 1
_LARGEST_HEADER = 100_000_000  # what other readers allow
_NO_SUM = "00000000"
_START = b'{"__metadata__":{"checksum":"'


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
        name: {**(notes or {}).get(name, {}), "crc32": _NO_SUM, "dtype": how.name}
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
    header: dict[str, Any] = {"__metadata__": {"checksum": _NO_SUM, "format": "nablax", "manifest": text}}
    end = 0
    for name, how in layout.items():
        start, end = end, end + how.nbytes
        header[name] = {"dtype": how.code, "shape": how.shape, "data_offsets": [start, end]}
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % 8)
    if len(data) > _LARGEST_HEADER:
        raise ArgumentError(
            f"save: the names of {len(layout)} arrays need a header of {len(data)} bytes; 10**8 are allowed."
        )
    data = data.replace(_START + _NO_SUM.encode(), _START + f"{zlib.crc32(data):08x}".encode(), 1)
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


class File:
    """An open file of arrays, whose header was checked; a context manager.

    Attributes:
      path: as it was given.
      manifest: what `write` was given, without the entries; {} for files of others.
      notes: by name, what the manifest says of an array; {} for files of others.

    Raises:
      FileError: no file of this format, a truncated or an altered one; the message names it.
      OSError: it cannot be opened.
    """

    def __init__(self, path: Any):
        self.path = os.fspath(path)
        self._file: Any = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._table, metadata, self._start = self._read_header()
            self.manifest, self.notes = self._read_manifest(metadata)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> File:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in the file's order."""
        return list(self._table)

    def shape(self, name: str) -> tuple[tuple[int, ...], Any]:
        """The shape and dtype of an array, which is not read.

        Raises:
          KeyError: there is none of this name.
          FileError: the manifest has no such dtype.
        """
        entry = self._table[name]
        try:
            return restored(entry["dtype"], entry["shape"], self.notes.get(name, {}).get("dtype"))
        except TypeError as e:
            raise self._error(f"the manifest's dtype of {name} does not fit: {e}") from e

    def read(self, name: str) -> np.ndarray:
        """One array, in memory of its own.

        Raises:
          KeyError: there is none of this name.
          FileError: its bytes are not those that were written.
        """
        entry, note = self._table[name], self.notes.get(name, {})
        start, end = entry["data_offsets"]
        data = bytearray(end - start)
        self._file.seek(self._start + start)
        if self._file.readinto(data) != len(data):
            raise self._error(f"it ends within {name}")
        if "crc32" in note and f"{zlib.crc32(data):08x}" != note["crc32"]:
            raise self._error(f"the bytes of {name} are not those that were written (their checksum differs)")
        try:
            return from_bytes(data, entry["dtype"], tuple(entry["shape"]), note.get("dtype"))
        except (TypeError, ValueError) as e:
            raise self._error(f"the manifest's dtype of {name} does not fit: {e}") from e

    def _error(self, what: str) -> FileError:
        return FileError(f"{self.path} cannot be read: {what}.")

    def _read_header(self) -> tuple[dict[str, Any], dict[str, str], int]:
        """The table of arrays, the metadata, and where the arrays begin."""
        size = os.fstat(self._file.fileno()).st_size
        n = int.from_bytes(self._file.read(8), "little")
        if size < 8 or n < 2:
            raise self._error(f"it has {size} bytes and no header, so it is no safetensors file")
        if n > min(size - 8, _LARGEST_HEADER):
            raise self._error(
                f"its header would have {n} bytes; the file has {size} (truncated, or no safetensors file)"
            )
        data = self._file.read(n)
        found = re.match(re.escape(_START) + rb"([0-9a-f]{8})\"", data)
        if found is not None:
            plain = data[: found.start(1)] + _NO_SUM.encode() + data[found.end(1) :]
            if f"{zlib.crc32(plain):08x}".encode() != found[1]:
                raise self._error("its header is not the one that was written (its checksum differs)")
        try:
            header = json.loads(data.decode(), object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError) as e:
            raise self._error(f"its header is no JSON: {e}") from e
        if not isinstance(header, dict):
            raise self._error("its header is no JSON object")
        metadata = header.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise self._error("its metadata are no strings")
        if metadata.get("format") == "nablax" and found is None:
            raise self._error("its header has no checksum")
        self._check_table(header, size - 8 - n)
        return header, metadata, 8 + n

    def _check_table(self, table: dict[str, Any], room: int) -> None:
        """Each array in its place: sizes as shapes and dtypes say, no gap, no overlap, the end where the file ends."""
        for name, entry in table.items():
            if not (
                isinstance(entry, dict)
                and set(entry) == {"dtype", "shape", "data_offsets"}
                and _are_sizes(entry["shape"])
                and _are_sizes(entry["data_offsets"])
                and len(entry["data_offsets"]) == 2
            ):
                raise self._error(f"its header has no dtype, shape and offsets for {name}")
            if not isinstance(entry["dtype"], str) or not known(entry["dtype"]):
                raise self._error(f"{name} has the unknown dtype {entry['dtype']!r}")
        here = 0
        for name, entry in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
            start, end = entry["data_offsets"]
            size = itemsize(entry["dtype"])
            for n in entry["shape"]:
                size *= n
            if end - start != size:
                raise self._error(
                    f"{name} of shape {entry['shape']} needs {size} bytes and has {end - start}"
                )
            if start != here:
                raise self._error(f"{name} begins at byte {start}, where {here} comes next")
            here = end
        if here != room:
            raise self._error(
                f"its arrays need {here} bytes, and it has {room}; it was truncated or something was added"
            )

    def _read_manifest(self, metadata: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        if metadata.get("format") != "nablax":
            return {}, {}
        try:
            manifest = json.loads(metadata["manifest"])
            version, notes = manifest.pop("version"), manifest.pop("entries")
            fits = set(notes) == set(self._table) and all(isinstance(note, dict) for note in notes.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise self._error(f"its manifest is none: {e!r}") from e
        if version != VERSION:
            raise self._error(f"its manifest has version {version!r}; this nablax reads version {VERSION}")
        if not fits:
            raise self._error("its manifest names other arrays than its header")
        return manifest, notes


def _are_sizes(x: Any) -> bool:
    return isinstance(x, list) and all(type(n) is int and n >= 0 for n in x)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found
