"""`File`: a file of arrays by name, as `_format` writes it, checked and read; one without a manifest, as it is."""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import Any

import numpy as np

from nablax.core import FileError
from nablax.runtime._saving._dtypes import from_bytes, itemsize, known, restored
from nablax.runtime._saving._format import LARGEST_HEADER, NO_SUM, START, VERSION


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
        if n > min(size - 8, LARGEST_HEADER):
            raise self._error(
                f"its header would have {n} bytes; the file has {size} (truncated, or no safetensors file)"
            )
        data = self._file.read(n)
        found = re.match(re.escape(START) + rb"([0-9a-f]{8})\"", data)
        if found is not None:
            plain = data[: found.start(1)] + NO_SUM.encode() + data[found.end(1) :]
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
