"""How far it is, with the time left: a bar in the terminal, and lines in a log file."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

_BETWEEN_LINES = 5.0  # seconds


class Reported:
    """Progress over so many parts of about equal length. `log`: the file that lines are added to."""

    def __init__(self, parts: int, log: Path):
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._parts, self._log, self._before, self._name = parts, log, 0, ""
        self._began = self._line = time.monotonic()

    def __enter__(self) -> Reported:
        self._file = self._log.open("a", encoding="utf-8")
        self._bar.start()
        self._task = self._bar.add_task("preparing", total=self._parts, left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._write(
            "done" if error is None else "interrupted" if kind is KeyboardInterrupt else f"stopped: {error}"
        )
        self._file.close()

    def begin(self, name: str) -> None:
        """The next part begins."""
        self._name = name
        self._write(f"{name}: part {self._before + 1} of {self._parts}")
        self._bar.update(self._task, description=name)

    def at(self, part: float) -> None:
        """So much of it is done."""
        done = self._before + part
        elapsed = time.monotonic() - self._began
        left = f"{_duration(elapsed * (self._parts - done) / done)} left" if done > 0 else ""
        self._bar.update(self._task, completed=done, left=left)
        if time.monotonic() - self._line > _BETWEEN_LINES:
            self._write(
                f"{self._name}: {100 * done / self._parts:.0f} %, {left or 'time left not known yet'}"
            )

    def end(self, how: str) -> None:
        """It has ended."""
        self._before += 1
        self._write(f"{self._name}: {how}")

    def _write(self, line: str) -> None:
        self._line = time.monotonic()
        self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")
        self._file.flush()


def _duration(seconds: float) -> str:
    """Time for people: `42 s`, `3 min 5 s`, `2 h 14 min`.

    Example:
      >>> _duration(185.0)
      '3 min 5 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
