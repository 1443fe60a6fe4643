"""`launch`: becomes the supervisor of several processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


def launch(arguments: Sequence[str]) -> NoReturn:
    """Replaces this process by the supervisor of `nablax launch`, which never imports JAX.

    Args:
      arguments: those of the command line: `["--processes", "2", "--restarts", "3", "--", "train.py", ...]`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    script = Path(__file__).with_name("_supervisor.py")
    os.execv(sys.executable, [sys.executable, "-P", str(script), *arguments])
