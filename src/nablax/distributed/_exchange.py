"""`process`: which one this is. `exchange`: what each has to say, on all of them."""

from __future__ import annotations

import jax
import numpy as np

_ROOM = 1000  # bytes of a text


def process() -> tuple[int, int]:
    """The index of this process, and how many there are. A process alone does not start JAX's devices for it."""
    return (jax.process_index(), jax.process_count()) if jax.distributed.is_initialized() else (0, 1)


def exchange(text: str = "") -> list[str]:
    """The texts that all processes give, in their order; each waits until all have called.

    `exchange()` is a barrier, `exchange(text)[0]` what process 0 says. A process alone does not start JAX's devices.

    Args:
      text: up to 1000 bytes of UTF-8; what is longer is cut.

    Example:
      >>> exchange("here")
      ['here']
    """
    if process()[1] == 1:
        return [text]
    from jax.experimental import multihost_utils

    data = text.encode()[:_ROOM].ljust(_ROOM, b"\0")
    rows = multihost_utils.process_allgather(np.frombuffer(data, np.uint8))
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in np.asarray(rows)]
