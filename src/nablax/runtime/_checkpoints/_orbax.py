"""The backend of Orbax: a step is written by threads of its own while training goes on. All that knows Orbax is here.

Its steps stand in the same folders as ours, arrays under numbers, for which `told` has the names: they may hold any
character. Orbax refuses empty arrays; their shapes are told, and that is all there is to them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nablax.core import ArgumentError, FileError
from nablax.distributed import process
from nablax.runtime._checkpoints._content import Content
from nablax.runtime._checkpoints._folder import clear, path_of, steps_in, taken
from nablax.runtime._saving import Kept, shape_of


class Orbax:
    """Steps that `orbax.checkpoint` writes."""

    def __init__(self, folder: str):
        try:
            import orbax.checkpoint as ocp
        except ImportError as e:
            raise ArgumentError(
                "CheckpointManager: backend='orbax' needs orbax-checkpoint: pip install 'nablax[checkpoint]'."
            ) from e
        self._ocp, self._folder = ocp, folder
        self._checkpointer = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())

    def write(self, step: int, content: Content, metrics: Mapping[str, str]) -> None:
        """Begins to write a step, when the one before is done; the arrays may be overwritten at once."""
        self.wait()
        if step in steps_in(self._folder):
            raise taken(self._folder, step)
        os.makedirs(self._folder, exist_ok=True)
        if process()[0] == 0:
            clear(self._folder)
        shapes = {name: shape_of(x) for name, x in content.arrays.items()}
        full = [name for name, (shape, _) in shapes.items() if 0 not in shape]
        told = {
            **content.told,
            "keys": dict(content.keys),
            "metrics": dict(metrics),
            "arrays": {name: [list(shape), dtype.name] for name, (shape, dtype) in shapes.items()},
            "numbers": full,
        }
        arrays = {str(i): _given(content.arrays[name]) for i, name in enumerate(full)}
        args = self._ocp.args
        self._checkpointer.save(
            path_of(self._folder, step),
            args=args.Composite(arrays=args.PyTreeSave(arrays), told=args.JsonSave(told)),
        )

    @contextlib.contextmanager
    def reading(self, step: int, like: Content) -> Iterator[Content]:
        """What a step holds; those arrays are read that `like` has, too, as it has them, and the data of keys."""
        told = self._told(step)
        found: dict[str, Kept] = {
            name: Read(tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in told["arrays"].items()
        }
        wanted: dict[str, Any] = {}
        for i, name in enumerate(told["numbers"]):
            shape = found[name].shape, found[name].dtype
            if name in like.arrays and shape_of(like.arrays[name]) == shape:
                wanted[str(i)] = like.arrays[name]
            elif name in told["keys"]:
                wanted[str(i)] = jax.ShapeDtypeStruct(*shape)
        for number, array in self._arrays(step, wanted).items():
            found[told["numbers"][int(number)]].array = array  # type: ignore[attr-defined]
        yield Content(found, told["keys"], told)

    def metrics(self, step: int) -> dict[str, str]:
        """The metrics that were given with a step."""
        return self._told(step)["metrics"]

    def wait(self) -> None:
        """Until the last step is in its place.

        Raises:
          OSError, ValueError: Orbax's, where it could not be written.
        """
        self._checkpointer.wait_until_finished()

    def _told(self, step: int) -> dict[str, Any]:
        """What is told of a step. Every process reads it by itself."""
        with self._naming(step) as path:
            return self._ocp.JsonCheckpointHandler().restore(Path(path) / "told")

    def _arrays(self, step: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if not wanted:
            return {}
        shapes, how = {}, {}
        for number, x in wanted.items():
            shape, dtype = shape_of(x)
            sharding = getattr(x, "sharding", None)
            if sharding is None or not getattr(x, "committed", True):
                shapes[number] = jax.ShapeDtypeStruct(shape, dtype)
                how[number] = self._ocp.RestoreArgs(restore_type=np.ndarray)
            else:
                shapes[number] = jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
                how[number] = self._ocp.ArrayRestoreArgs(sharding=sharding, global_shape=shape, dtype=dtype)
        args = self._ocp.args
        told = args.PyTreeRestore(shapes, restore_args=how, partial_restore=True)
        with self._naming(step) as path:
            return self._checkpointer.restore(path, args=args.Composite(arrays=told))["arrays"]

    @contextlib.contextmanager
    def _naming(self, step: int) -> Iterator[str]:
        """Within it, what Orbax cannot read is an error that names the step."""
        path = path_of(self._folder, step)
        try:
            yield path
        except (ValueError, KeyError, OSError) as e:
            raise FileError(f"{path} cannot be read by Orbax: {e}") from e


class Read(Kept):
    """An array that Orbax has read; before that, its shape and dtype.

    Attributes:
      array: as it was asked for.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        self.shape, self.dtype = shape, dtype
        self.array: Any = np.zeros(shape, dtype) if 0 in shape else None

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.array)

    def at(self, sharding: Any) -> jax.Array:
        return self.array if isinstance(self.array, jax.Array) else jax.device_put(self.array, sharding)


def _given(x: Any) -> Any:
    """The array as Orbax takes it: what each of several processes has for itself, as NumPy's."""
    alone = process()[1] == 1
    return x if isinstance(x, jax.Array) and (alone or not x.is_fully_addressable) else np.array(x)
