"""JAX's settings that an operation is computed under: those at its line, not those where its value is read.

They belong to a recording, as x64 does: it ends where an operation meets others, and it runs under its own. On the fast
path only operations that multiply matrices look (0.1 us); others would compute the same numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax

from ._aval import WIDE, X64

Settings = tuple[Any, Any]  # default device, default precision of matrix products

_DEVICE: Any = jax.default_device
_PRECISION: Any = jax.default_matmul_precision


def now() -> Settings:
    """The settings in force."""
    return _DEVICE.value, _PRECISION.value


@contextlib.contextmanager
def _changed(settings: Settings) -> Any:
    with jax.default_device(settings[0]), jax.default_matmul_precision(settings[1]):
        yield


_SAME = contextlib.nullcontext()


def under(settings: Settings) -> Any:
    """A context in which these settings are in force."""
    return _SAME if settings == now() else _changed(settings)


def x64_as(x64: bool) -> Any:
    """A context in which x64 is on, or off; free where it is so already."""
    return _SAME if x64 == X64.value else jax.enable_x64(x64)


def in_x64(x64: bool, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function where x64 is on, or off."""
    if x64 == X64.value:
        return function(*args)
    with jax.enable_x64(x64):
        return function(*args)


def holding(dtype: Any) -> Any:
    """A context in which there are arrays of this dtype: x64 is on for 64 bits, and else as it was."""
    return x64_as(X64.value or dtype in WIDE)
