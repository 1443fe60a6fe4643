"""A folder of steps, `step-12` and so on, each of which is there whole or not at all.

A step is made under another name, `.step-12.*.tmp`, and renamed when all of it is on the disk; it is taken away by the
same road, backwards. Whoever makes one holds a lock on its folder, which the system takes from the dead: so what a
killed process left is known, and goes when the next step is made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator

from nablax.runtime._saving import sync_folder

try:
    import fcntl
except ImportError:  # no locks: what is left stays
    fcntl = None  # type: ignore[assignment]

_STEP = re.compile(r"step-(\d+)")
_MADE = re.compile(r"\.step-\d+\.[0-9a-f]{16}\.tmp")


def path_of(folder: str, step: int) -> str:
    """Where a step is."""
    return os.path.join(folder, f"step-{step}")


def steps_in(folder: str) -> list[int]:
    """The steps that are there, in order; none where there is no folder."""
    with contextlib.suppress(FileNotFoundError):
        found = (_STEP.fullmatch(entry.name) for entry in os.scandir(folder) if entry.is_dir())
        return sorted(int(match[1]) for match in found if match)
    return []


def remove(folder: str, step: int) -> None:
    """Takes a step away: at once out of sight, then from the disk."""
    away = os.path.join(folder, f".step-{step}.{secrets.token_hex(8)}.tmp")
    os.rename(path_of(folder, step), away)
    shutil.rmtree(away, ignore_errors=True)  # somebody else may clear it away, too


def clear(folder: str) -> None:
    """Takes away what killed processes left of steps that they made or removed."""
    with _locked(folder):
        _clear(folder)


def _clear(folder: str) -> None:
    for entry in os.listdir(folder):
        left = os.path.join(folder, entry)
        if _MADE.fullmatch(entry) and _nobody_makes(left):
            shutil.rmtree(left, ignore_errors=True)


def taken(folder: str, step: int) -> FileExistsError:
    """What a writer hears who comes second."""
    return FileExistsError(
        errno.EEXIST,
        f"CheckpointManager.save: step {step} is there already, written earlier or by another process; it was left as "
        f"it is (CheckpointManager.delete({step}) removes it)",
        path_of(folder, step),
    )


class Making:
    """A step in the making. `commit` or `abort` ends it.

    Attributes:
      path: the folder to fill.

    Raises:
      OSError: it cannot be made.
    """

    def __init__(self, folder: str, step: int):
        self._folder, self._step = folder, step
        os.makedirs(folder, exist_ok=True)
        with _locked(folder):
            _clear(folder)
            self.path = os.path.join(folder, f".step-{step}.{secrets.token_hex(8)}.tmp")
            os.mkdir(self.path)
            self._handle = _lock(self.path)

    def commit(self) -> None:
        """Puts the step in its place.

        Raises:
          FileExistsError: it was taken meanwhile.
        """
        sync_folder(self.path)
        try:
            os.rename(self.path, path_of(self._folder, self._step))
        except OSError as e:
            if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise taken(self._folder, self._step) from e
            raise
        sync_folder(self._folder)
        self._unlock()

    def abort(self) -> None:
        """Leaves nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _lock(path: str, wait: bool = True) -> int | None:
    """Locks a folder until the handle is closed; None where that cannot be.

    Raises:
      BlockingIOError: another has it, and one is not to wait.
    """
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    handle = _lock(path)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _nobody_makes(path: str) -> bool:
    try:
        handle = _lock(path, wait=False)
    except OSError:  # it is being made, or gone
        return False
    if handle is None:
        return False
    os.close(handle)
    return True
