"""`launch`: becomes the supervisor of several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from nablax.core import ArgumentError


def launch(arguments: Sequence[str]) -> NoReturn:
    """Replaces this process by the supervisor of `nablax launch`, which never imports JAX.

    Args:
      arguments: those of the command line: `["--processes", "2", "--restarts", "3", "--", "train.py", ...]`.

    Raises:
      ArgumentError: no list of strings.
    """
    several = isinstance(arguments, Sequence) and not isinstance(arguments, str)
    if not several or not all(isinstance(x, str | Path) for x in arguments):
        raise ArgumentError(
            f"launch: arguments must be a list of strings, as on the command line, got {arguments!r}."[:300]
        )
    sys.stdout.flush()
    sys.stderr.flush()
    script = Path(__file__).with_name("_supervisor.py")
    os.execv(sys.executable, [sys.executable, "-P", str(script), *map(str, arguments)])
