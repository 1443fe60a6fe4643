"""The backend of our own: a step is one safetensors file a process."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nablax.core import FileError
from nablax.distributed import exchange, process
from nablax.runtime._checkpoints._content import Content
from nablax.runtime._checkpoints._folder import Making, path_of, steps_in, taken
from nablax.runtime._checkpoints._pieces import arrays_in, pieces_of
from nablax.runtime._saving import Fetched, File, write

_NAME = re.compile(r"process-(\d+)-of-(\d+)\.safetensors")


class Files:
    """Steps of files in a folder that all processes share."""

    def __init__(self, folder: str):
        self._folder = folder

    def write(self, step: int, content: Content, metrics: Mapping[str, str]) -> None:
        """Writes a step: all of it, or nothing. Every process takes part.

        Raises:
          FileExistsError: the step is there.
          OSError: it cannot be written, by this process or another.
        """
        index, count = process()
        making: list[Making] = []

        def begin() -> str:
            if step in steps_in(self._folder):
                raise taken(self._folder, step)
            making.append(Making(self._folder, step))
            return os.path.basename(making[0].path)

        def fill() -> None:
            if not os.path.isdir(os.path.join(self._folder, beside)):
                raise FileNotFoundError(
                    errno.ENOENT,
                    f"CheckpointManager.save: process {index} does not see what process 0 made; all need the same "
                    "folder, on a file system that all of them see",
                    os.path.join(self._folder, beside),
                )
            blocks, notes = pieces_of(content.arrays, index == 0)
            for note in notes.values():
                if note["of"] in content.keys:
                    note["key"] = content.keys[note["of"]]
            notes |= {name: {"key": key} for name, key in content.keys.items() if name in blocks}
            path = os.path.join(self._folder, beside, f"process-{index}-of-{count}.safetensors")
            told = {**content.told, "step": step, "metrics": dict(metrics)}
            write(path, {name: Fetched(x) for name, x in blocks.items()}, told, notes)

        try:
            beside = _agreed(begin if index == 0 else None)
            _agreed(fill)
            _agreed(making[0].commit if index == 0 else None)
        except BaseException:
            for one in making:
                one.abort()
            raise

    @contextlib.contextmanager
    def reading(self, step: int, like: Content) -> Iterator[Content]:
        """What a step holds; arrays are read within.

        Raises:
          FileError: a file is missing, truncated or altered; the message names it.
        """
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(File(path)) for path in self._files(step)]
            arrays, keys = arrays_in(files)
            yield Content(arrays, keys, files[0].manifest)

    def metrics(self, step: int) -> dict[str, str]:
        """The metrics that were given with a step."""
        with File(self._files(step)[0]) as file:
            return dict(file.manifest.get("metrics", {}))

    def wait(self) -> None:
        """Nothing is left to do when `write` is back."""

    def _files(self, step: int) -> list[str]:
        path = path_of(self._folder, step)
        found = {name: match for name in os.listdir(path) if (match := _NAME.fullmatch(name))}
        if not found:
            raise FileError(f"{path} cannot be read: it has no file process-0-of-N.safetensors.")
        count = max(int(match[2]) for match in found.values())
        wanted = [f"process-{i}-of-{count}.safetensors" for i in range(count)]
        missing = [name for name in wanted if name not in found]
        if missing:
            raise FileError(f"{path} cannot be read: {missing[0]} is missing.")
        return [os.path.join(path, name) for name in wanted]


def _agreed(action: Callable[[], Any] | None) -> str:
    """Does something on this process, and waits for the others; where one fails, all do.

    Returns:
      What the action of process 0 returned.
    """
    try:
        said, failure = f"+{(action and action()) or ''}", None
    except Exception as e:
        said, failure = f"-{type(e).__name__}: {e}", e
    texts = exchange(said)
    if failure is not None:
        raise failure
    for i, text in enumerate(texts):
        if text.startswith("-"):
            raise OSError(f"CheckpointManager.save: process {i} failed, nothing was written. {text[1:]}")
    return texts[0][1:]
