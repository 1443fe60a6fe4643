"""Arguments that have two names: Optax's own, and the one that all optimizers here share."""

from __future__ import annotations

from typing import Any

from nablax.core import ArgumentError


def one_of(who: str, **names: Any) -> Any:
    """The value of the one name that is not None.

    Raises:
      ArgumentError: several are given.
    """
    given = {name: value for name, value in names.items() if value is not None}
    if len(given) > 1:
        raise ArgumentError(f"{who}: {' and '.join(given)} are one argument; give it once.")
    return next(iter(given.values()), None)
