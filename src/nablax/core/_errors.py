"""Every error that nablax raises on purpose.

    NablaxError
    ├── HyperparameterError (ValueError)   a number outside its range, at construction
    ├── ArgumentError (TypeError)          an argument of the wrong kind
    ├── StructureError (ValueError)        trees, shapes or dtypes that do not belong together
    ├── MissingParamsError (ValueError)    update() without the parameters it reads
    ├── FileError (ValueError)             a file that cannot be what was saved
    └── ConvergenceError (RuntimeError)    a solver that could not do what it was asked

Each also derives from the built-in class that existing `except` clauses catch. A message says who speaks, which
argument, what is allowed and what came: `scale_by_adam: b1 must lie in [0, 1), got 1.5.`
"""

from typing import Any


class NablaxError(Exception):
    """Base class of all errors that nablax raises on purpose."""


class HyperparameterError(NablaxError, ValueError):
    """A hyperparameter lies outside its range."""


class ArgumentError(NablaxError, TypeError):
    """An argument is of the wrong kind."""


class StructureError(NablaxError, ValueError):
    """Trees, shapes or dtypes that should agree do not."""


class MissingParamsError(NablaxError, ValueError):
    """A transformation that reads the parameters was called without them."""


class FileError(NablaxError, ValueError):
    """A file is truncated, altered, or of another format."""


class ConvergenceError(NablaxError, RuntimeError):
    """A solver could not do what it was asked."""


def require_params(who: str, params: Any) -> None:
    """Refuses an update() without parameters.

    Raises:
      MissingParamsError: params is None.
    """
    if params is None:
        raise MissingParamsError(
            f"{who} reads the parameters, but update() got params=None. Call update(gradients, state, params)."
        )
