"""Files in a folder that several processes share, bounded in bytes."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from pathlib import Path

_SUFFIX = ".xla"
_ABANDONED = 3600.0  # seconds after which nobody is writing to a file any more


class Store:
    """Entries by name, of at most `most` bytes together.

    An entry is a file, and appears whole. Whatever the disk refuses is as if it were not there. Like that of JAX's own
    cache, the folder is trusted: one that belongs to another user, or that everybody may write to, is not used.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most
        self._unseen: int | None = None  # bytes written since the folder was looked through

    def read(self, name: str) -> bytes | None:
        """An entry, or None; it is the latest used then."""
        path = self.folder / (name + _SUFFIX)
        try:
            if not _ours(self.folder):
                return None
            found = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def write(self, name: str, data: bytes) -> None:
        """Keep an entry, if it takes no more than half of the room."""
        if len(data) > self.most // 2:
            return
        unfinished = self.folder / f"{name}.{os.getpid()}.{threading.get_ident()}.unfinished"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _ours(self.folder):
                return
            try:
                unfinished.write_bytes(data)
                os.replace(unfinished, self.folder / (name + _SUFFIX))
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
            self._bound(len(data))
        except OSError:
            pass  # a full disk, a folder that cannot be written to, a file that another process has open

    def drop(self, name: str) -> None:
        """Forget an entry."""
        with contextlib.suppress(OSError):
            (self.folder / (name + _SUFFIX)).unlink(missing_ok=True)

    def _bound(self, written: int) -> None:
        """Delete what was not used longest. The folder is looked through at first and after each 64th of its bound."""
        if self._unseen is not None and self._unseen + written < self.most // 64:
            self._unseen += written
            return
        self._unseen = 0
        found = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(OSError):
                known = entry.stat()
                if entry.name.endswith(_SUFFIX):
                    found.append((known.st_mtime, known.st_size, entry.path))
                elif entry.name.endswith(".unfinished") and known.st_mtime < time.time() - _ABANDONED:
                    os.unlink(entry.path)
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.most - self.most // 64:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size


def _ours(folder: Path) -> bool:
    """Whether nobody else may write there."""
    known = os.stat(folder)
    return not hasattr(os, "getuid") or (known.st_uid == os.getuid() and not known.st_mode & stat.S_IWOTH)


def usual() -> Path | None:
    """The folder that the platform has for caches, where there is a home."""
    try:
        if sys.platform == "win32":
            home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin" and not os.environ.get("XDG_CACHE_HOME"):
            home = Path.home() / "Library" / "Caches"
        else:
            home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(home) / "nablax" / "autograd"
