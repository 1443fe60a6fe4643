"""set_grad_enabled and inference_mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._ground._errors import ShapeError
from .._path._trace import local
from .._tensor._grad_mode import no_grad


class set_grad_enabled:
    """Record gradients from here on, or not; as a context, until it ends."""

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool | int | np.bool_):
            raise ShapeError(
                f"set_grad_enabled: mode must be a bool, got {type(mode).__name__}: {mode!r}."[:200]
            )
        self._before = local.trace.mode
        self.mode = bool(mode)
        local.trace.set_mode(self.mode)

    def __enter__(self) -> None:
        local.trace.set_mode(self.mode)

    def __exit__(self, *error: object) -> None:
        local.trace.set_mode(self._before)


class inference_mode(no_grad):
    """As no_grad(); what is computed inside may be used with gradients afterwards, which torch's may not."""

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return super().__new__(cls, mode)
        made = super().__new__(cls)
        made._mode = not mode
        return made

    def __init__(self, mode: Any = True) -> None:
        pass

    def _recreate_cm(self) -> Any:
        return type(self)(not self._mode)
