"""Arrays in pieces: each process writes what its devices hold, and reads what its devices need.

A piece is a block of an array: the part of one shard, written by the process that has its first copy. It stands in a
file under a name of its own, with a note that says whose it is and where it begins. A reader puts together the blocks
that it needs from whatever pieces there are, so the devices, and the processes, may be others than those that wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nablax.core import ArgumentError, FileError
from nablax.runtime._saving import File, Kept


def pieces_of(arrays: Mapping[str, Any], first: bool) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What this process writes of arrays: blocks by name, and the notes of those that are not whole.

    Args:
      arrays: by name; those that a process has for itself are the same on all.
      first: whether this is process 0, which writes these.
    """
    blocks: dict[str, Any] = {}
    notes: dict[str, dict[str, Any]] = {}
    for name, x in arrays.items():
        if not isinstance(x, jax.Array) or x.is_fully_replicated:
            if first:
                blocks[name] = x
            continue
        for shard in x.addressable_shards:
            if shard.replica_id == 0 and (first or not x.is_fully_addressable):
                start = [part.start or 0 for part in shard.index]
                piece = f"{name}@{','.join(map(str, start))}"
                if piece in arrays:
                    raise ArgumentError(
                        f"CheckpointManager.save: {piece!r} is no name for an array beside {name!r}."
                    )
                blocks[piece] = shard.data
                notes[piece] = {"of": name, "start": start, "shape": list(x.shape)}
    return blocks, notes


class Piece(NamedTuple):
    """entry: its name in the file. start, shape: the block of the array that it is."""

    file: File
    entry: str
    start: tuple[int, ...]
    shape: tuple[int, ...]


class Pieces(Kept):
    """An array as the pieces that files hold."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, pieces: list[Piece]):
        self.shape, self.dtype, self._pieces = shape, dtype, pieces

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._block(tuple(slice(0, n) for n in self.shape))

    def at(self, sharding: Any) -> jax.Array:
        return jax.make_array_from_callback(self.shape, sharding, self._block)

    def _block(self, index: Any) -> np.ndarray:
        bounds = [part.indices(n)[:2] for part, n in zip(index, self.shape, strict=True)]
        low, high = [b[0] for b in bounds], [b[1] for b in bounds]
        for piece in self._pieces:  # most often it is one, as it stands
            if (
                list(piece.start) == low
                and [s + n for s, n in zip(piece.start, piece.shape, strict=True)] == high
            ):
                return piece.file.read(piece.entry)
        out = np.empty([b - a for a, b in bounds], self.dtype)
        for piece in self._pieces:
            first = [max(a, s) for a, s in zip(low, piece.start, strict=True)]
            last = [min(b, s + n) for b, s, n in zip(high, piece.start, piece.shape, strict=True)]
            if all(a < b for a, b in zip(first, last, strict=True)):
                data = piece.file.read(piece.entry)
                out[_slices(first, last, low)] = data[_slices(first, last, piece.start)]
        return out


def _slices(first: Any, last: Any, origin: Any) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(first, last, origin, strict=True))


def arrays_in(files: list[File]) -> tuple[dict[str, Pieces], dict[str, str]]:
    """The arrays that files hold together, by name, and the generators of keys.

    Raises:
      FileError: pieces of an array are missing.
    """
    found: dict[str, Pieces] = {}
    keys: dict[str, str] = {}
    for name, file, entry in _entries(files):
        note = file.notes.get(entry, {})
        shape, dtype = file.shape(entry)
        start = tuple(note.get("start", (0,) * len(shape)))
        whole = found.setdefault(name, Pieces(tuple(note.get("shape", shape)), dtype, []))
        whole._pieces.append(Piece(file, entry, start, shape))
        if "key" in note:
            keys[name] = note["key"]
    for name, array in found.items():
        if sum(math.prod(piece.shape) for piece in array._pieces) != math.prod(array.shape):
            told = ", ".join(sorted({piece.file.path for piece in array._pieces}))
            raise FileError(f"{told}: the pieces of {name} do not make an array of shape {array.shape}.")
    return found, keys


def _entries(files: list[File]) -> Iterator[tuple[str, File, str]]:
    for file in files:
        for entry in file.names:
            yield file.notes.get(entry, {}).get("of", entry), file, entry
