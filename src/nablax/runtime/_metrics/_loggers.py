"""Loggers: callables of a step and its metrics, `log(step, metrics)`. Any function of these two is one."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from nablax.core import PATH, ArgumentError


def flat_metrics(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | int]:
    """Metrics as plain numbers by name; nested ones, of groups and leaves, as `learning_rate/head`; no others.

    Example:
      >>> flat_metrics({"loss": np.float32(0.5), "learning_rate": {"head": 0.1}, "aux": "x"})
      {'loss': 0.5, 'learning_rate/head': 0.1}
    """
    out: dict[str, float | int] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            out |= flat_metrics(value, f"{prefix}{name}/")
        elif isinstance(value, int | float | np.generic) or getattr(value, "shape", None) == ():
            number = np.asarray(value).item()
            if isinstance(number, int | float):
                out[prefix + name] = number
    return out


class _ToFile:
    """A logger that appends lines to a file; each is on its way to the disk when the call returns."""

    def __init__(self, path: Any):
        PATH(type(self).__name__, "path", path)
        self.path = os.fspath(path)
        folder = os.path.dirname(self.path)
        if folder:
            os.makedirs(folder, exist_ok=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"


class JSONLinesLogger(_ToFile):
    """Appends one JSON object a call: `{"step": 10, "loss": 0.5, ...}`; infinite and NaN values are null.

    Args:
      path: the file; folders are made, and lines that are there stay.
    """

    def __call__(self, step: int, metrics: Mapping[str, Any]) -> None:
        numbers = flat_metrics(metrics)
        row = {"step": int(step), **{k: v if np.isfinite(v) else None for k, v in numbers.items()}}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


class CSVLogger(_ToFile):
    """Appends one row a call. The first call's names are the columns, as are those of a file that is there.

    Args:
      path: the file; folders are made, and rows that are there stay.

    Raises:
      ArgumentError: at a call, a metric that has no column.
    """

    def __init__(self, path: Any):
        super().__init__(path)
        self._columns: list[str] | None = None
        if os.path.exists(self.path) and os.path.getsize(self.path):
            with open(self.path, newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file))

    def __call__(self, step: int, metrics: Mapping[str, Any]) -> None:
        row = {"step": int(step), **flat_metrics(metrics)}
        new = self._columns is None
        columns = list(row) if self._columns is None else self._columns
        unknown = [name for name in row if name not in columns]
        if unknown:
            raise ArgumentError(
                f"CSVLogger: {unknown[0]!r} has no column in {self.path}; there are {', '.join(columns)}. Give each "
                "run of other metrics its own file, or use JSONLinesLogger."
            )
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            if new:
                writer.writeheader()
            writer.writerow(row)
        self._columns = columns


class TensorBoardLogger:
    """Writes scalars for TensorBoard, through tensorboardX or torch, whichever is installed.

    Args:
      folder: of the event files.

    Raises:
      ImportError: neither is there; the message says what to install.
    """

    def __init__(self, folder: Any):
        PATH("TensorBoardLogger", "folder", folder)
        self._writer = _summary_writer()(os.fspath(folder))

    def __call__(self, step: int, metrics: Mapping[str, Any]) -> None:
        for name, value in flat_metrics(metrics).items():
            self._writer.add_scalar(name, value, int(step))

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as e:
            raise ImportError(
                "TensorBoardLogger needs a writer of event files: pip install tensorboardX."
            ) from e
    return SummaryWriter
