"""Names that Optax 0.2.8 still serves, with a DeprecationWarning."""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def deprecation_getattr(module: str, deprecations: Mapping[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """A module's `__getattr__` for names that are on their way out.

    Args:
      module: the module's name, for the message of a name that is not there at all.
      deprecations: for each name the message and the object; None for an object that is gone, whose message is raised.
    """

    def getattr_(name: str) -> Any:
        message, value = deprecations.get(name, (f"module {module!r} has no attribute {name!r}", None))
        if value is None:
            raise AttributeError(message)
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return value

    return getattr_


def moved(names: Mapping[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """`deprecations` of names that have another name now: name -> (its new name, the object)."""
    return {n: (f"{n} is deprecated, use {new} instead", value) for n, (new, value) in names.items()}


def warn_deprecated_function(
    fun: Callable[..., Any],
    replacement: str | None = None,
    version_removed: str | None = None,
    *,
    name: str | None = None,
) -> Callable[..., Any]:
    """`fun`, which warns when it is called.

    Args:
      replacement: what to use instead.
      version_removed: the version that is without it.
      name: what the message calls it, its own name otherwise.
    """
    message = f"{name or getattr(fun, '__name__', 'this function')} is deprecated"
    message += f", use {replacement} instead" if replacement else ""
    message += f"; it is removed in version {version_removed}" if version_removed else ""

    @functools.wraps(fun)
    def warning(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return fun(*args, **kwargs)

    return warning
