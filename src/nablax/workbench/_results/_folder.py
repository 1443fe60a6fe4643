"""A comparison's folder, from which it can go on.

comparison.json    what was decided (`Settings`)
runs/              a file for each optimizer (`Runs`), written when it has finished
results.json       what was found (`Comparison`)
report.html, curves.png, sensitivity.png, progress.log
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from nablax.core import ArgumentError

from .._running import Runs
from ._comparison import Comparison
from ._settings import Settings

try:
    import fcntl
except ImportError:  # no locks: two comparisons in one folder are not told from one
    fcntl = None  # type: ignore[assignment]

SETTINGS, RESULTS = "comparison.json", "results.json"


class TakenError(ArgumentError):
    """Another comparison is in the folder."""


class Folder:
    """The folder at this path, which need not exist yet."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def is_taken(self) -> bool:
        """Whether a comparison is in it of which something has finished."""
        return any((self.path / "runs").glob("*.npz")) or (self.path / RESULTS).exists()

    def make(self) -> None:
        """Makes it, and tries to write there.

        Raises:
          ArgumentError: that is not possible.
        """
        probe = self.path / f".nablax-{os.getpid()}"
        try:
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ArgumentError(f"compare: {self.path}: cannot write there: {error.strerror}.") from error

    @contextlib.contextmanager
    def alone(self, told: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keeps other comparisons out of the folder, which exists. The system takes the lock from a process that dies.

        Args:
          told: hears that another is in it, whose end is waited for; None does not wait.

        Raises:
          TakenError: another is in it, and nobody waits.
        """
        with contextlib.ExitStack() as stack:
            if fcntl is not None:
                handle = os.open(self.path, os.O_RDONLY)
                stack.callback(os.close, handle)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    what = f"{self.path}: another comparison is running there."
                    if told is None:
                        raise TakenError(
                            f"compare: {what} --resume {self.path} waits for its end; another folder needs not wait."
                        ) from None
                    told(f"{what} Waiting for its end.")
                    fcntl.flock(handle, fcntl.LOCK_EX)
                except OSError:  # a file system without locks
                    pass
            yield

    def settings(self) -> Settings:
        """What was decided.

        Raises:
          ArgumentError: no comparison is in the folder, or not one of this version.
        """
        try:
            fields = json.loads((self.path / SETTINGS).read_text(encoding="utf-8"))
            fields["target"] = fields["target"] and tuple(fields["target"])
            return Settings(**fields)
        except FileNotFoundError:
            raise ArgumentError(f"{self.path} holds no comparison: there is no {SETTINGS}.") from None
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise ArgumentError(f"{self.path / SETTINGS}: cannot be read: {error}") from None

    def runs(self) -> dict[str, Runs]:
        """By label, what has finished.

        Raises:
          ArgumentError: a file is damaged.
        """
        found = {}
        for path in sorted((self.path / "runs").glob("*.npz")):
            try:
                runs = Runs.load(path)
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                raise ArgumentError(
                    f"{path}: cannot be read ({error}); delete it, and its runs run again."
                ) from None
            found[runs.label] = runs
        return found

    def failed(self) -> dict[str, str]:
        """Why optimizers could not run, by label, as far as results were written."""
        try:
            found: dict[str, str] = json.loads((self.path / RESULTS).read_text(encoding="utf-8"))["failed"]
        except (OSError, ValueError, KeyError):
            return {}
        return found

    def write_settings(self, settings: Settings) -> None:
        _write(self.path / SETTINGS, json.dumps(asdict(settings), indent=1) + "\n")

    def write_runs(self, runs: Runs) -> None:
        """Puts the runs in the place of those of the same label."""
        slug = re.sub(r"[^A-Za-z0-9.=]+", "-", runs.label)[:60]
        mark = hashlib.sha256(runs.label.encode()).hexdigest()[:8]
        runs.save(self.path / "runs" / f"{slug}-{mark}.npz")

    def write_results(self, comparison: Comparison) -> None:
        _write(self.path / RESULTS, comparison.to_json() + "\n")


def missing(runs: Runs | None, rates: list[float], seeds: int) -> list[tuple[list[float], list[int]]]:
    """What is still to run, as products of rates and seeds.

    Example:
      >>> missing(None, [0.1, 1.0], 2)
      [([0.1, 1.0], [0, 1])]
    """
    have = runs.pairs if runs else set()
    wanted = [(rate, [seed for seed in range(seeds) if (rate, seed) not in have]) for rate in rates]
    wanted = sorted(((rate, left) for rate, left in wanted if left), key=lambda w: (w[1], w[0]))
    return [([rate for rate, _ in same], left) for left, same in groupby(wanted, key=lambda w: w[1])]


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
