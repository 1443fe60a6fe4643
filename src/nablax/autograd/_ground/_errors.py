"""Every error that nablax.autograd raises on purpose.

    AutogradError
    ├── ShapeError (ValueError, TypeError)      shapes or dtypes that an operation does not take
    ├── RangeError (IndexError, RuntimeError)    an index, a class or an axis that there is not
    ├── NonScalarError (RuntimeError)           backward() of a tensor with more than one number
    ├── NoGradientError (RuntimeError)          a gradient of what requires none
    ├── GraphFreedError (RuntimeError)          a second backward over a freed graph
    ├── InPlaceError (RuntimeError)             an in-place operation on a leaf that requires grad
    ├── FailedError (RuntimeError)              a tensor whose operation failed when it ran
    ├── LostTapeError (RuntimeError)            a tensor on its way to where its gradient would be dropped
    ├── ThreadError (RuntimeError)              a tensor whose recording belongs to another thread
    ├── AnomalyError (FloatingPointError)       detect_anomaly() saw a NaN or an infinity
    ├── TupleError (TypeError, IndexError)      the gradient of one tensor, used as a tuple
    └── GradcheckError (AssertionError)         derivatives that finite differences do not confirm

Each also derives from the built-in class that existing `except` clauses catch. A message says who speaks, what is
allowed and what came, and where in the user's own code.
"""

from __future__ import annotations

import dis
import functools
import os
import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType

import jax
import numpy as np

_WING = Path(__file__).parents[1]
_HIDDEN = tuple(
    str(p) + os.sep for p in (_WING.parent, Path(str(jax.__file__)).parent, Path(str(np.__file__)).parent)
)
_PYTHON = sysconfig.get_path("stdlib") + os.sep
_BELOW = {"jaxlib", "opt_einsum", "ml_dtypes", "scipy"}  # packages that JAX calls


class AutogradError(Exception):
    """Base class of all errors that nablax.autograd raises on purpose."""


class ShapeError(AutogradError, ValueError, TypeError):
    """Shapes or dtypes that an operation does not take."""


class RangeError(AutogradError, IndexError, RuntimeError):
    """An index, a class or an axis that there is not."""


class TooLargeError(AutogradError, OverflowError):
    """An integer of more than 32 bits, where x64 is off."""


class NonScalarError(AutogradError, RuntimeError, ValueError):
    """backward() without a cotangent, or item(), of a tensor with more than one number."""


class NoGradientError(AutogradError, RuntimeError):
    """A gradient was asked of something that requires none."""


class GraphFreedError(AutogradError, RuntimeError):
    """A second backward over a graph that the first one freed."""


class InPlaceError(AutogradError, RuntimeError):
    """An in-place operation on a leaf that requires grad, outside no_grad()."""


class FailedError(AutogradError, RuntimeError):
    """A tensor that has no value, because the operation that was to compute it failed when it ran."""


class LostTapeError(AutogradError, RuntimeError):
    """A tensor on its way to a place where its gradient would be dropped silently."""


class TupleError(AutogradError, TypeError, IndexError):
    """The gradient with respect to one tensor was used as the tuple that torch returns."""


class ThreadError(AutogradError, RuntimeError):
    """A tensor whose recording is still open in another thread."""


class AnomalyError(AutogradError, FloatingPointError):
    """detect_anomaly() saw an operation make a NaN or an infinity."""


class GradcheckError(AutogradError, AssertionError):
    """Derivatives that finite differences do not confirm."""


for _error in [
    each for each in globals().values() if isinstance(each, type) and issubclass(each, AutogradError)
]:
    _error.__module__ = "nablax.autograd"  # as tracebacks show it, and pickle finds it


@functools.lru_cache(4096)
def _is_hidden(file: str) -> bool:
    return file.startswith(_HIDDEN)


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost frame that is neither ours nor JAX's nor NumPy's, from `depth` frames up."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        if not _is_hidden(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def user_line() -> str:
    """`file:line` of the user's own code that is running."""
    frame = user_frame()
    return "unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def line_of(code: CodeType | None, at: int) -> str:
    """`file:line` of an instruction of some code; None where that is not known."""
    if code is None:
        return "unknown line"
    line = next(line for start, end, line in code.co_lines() if start <= at < end)
    return f"{code.co_filename}:{line}"


@functools.lru_cache(4096)
def _is_users(file: str) -> bool:
    parts = set(Path(file).parts)
    # NumPy's compiled code has names of its own: numpy/random/_generator.pyx.
    pythons = file.startswith(("<frozen", "<size>", "numpy/")) or (
        file.startswith(_PYTHON) and "site-packages" not in parts
    )
    return not (_is_hidden(file) or pythons or parts & _BELOW)


def came_through_user(error: BaseException) -> bool:
    """Whether an error that was caught in this wing came out of code of the user's."""
    trace = error.__traceback__
    while trace is not None:
        if _is_users(trace.tb_frame.f_code.co_filename):
            return True
        trace = trace.tb_next
    return False


def raised_in(error: BaseException, ours: bool) -> bool:
    """Whether a line of this wing, or else of the user's, raised an error, and not what the line called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    there = code.co_filename.startswith(str(_WING)) if ours else _is_users(code.co_filename)
    return there and dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
