"""Names in a table: the entry, or an error that offers the nearest ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from nablax.core import ArgumentError

T = TypeVar("T")


def nearest(name: str, names: Iterable[str]) -> str:
    """The half sentence that helps after a wrong name: the nearest names, or all of them.

    Example:
      >>> nearest("adan", ["adam", "adamw", "sgd"])
      'did you mean adam or adamw?'
    """
    names = sorted(names)
    lower = name.lower().replace("_", "-")
    close = difflib.get_close_matches(lower, [n.replace("_", "-") for n in names], n=3, cutoff=0.5)
    offered = [n for c in close for n in names if n.replace("_", "-") == c]
    offered = offered or [n for n in names if n.startswith(name)][:3]
    if not offered:
        return f"choose from {', '.join(names)}."
    return f"did you mean {' or '.join(offered)}?"


def pick(table: Mapping[str, T], name: str, kind: str, advice: str = "") -> T:
    """The entry of that name.

    Raises:
      ArgumentError: there is none; the message offers the nearest names, and then `advice`.
    """
    if name not in table:
        raise ArgumentError(f"compare: there is no {kind} {name!r}; {nearest(name, table)}{advice}")
    return table[name]


def first_line(documented: object) -> str:
    """The first line of a docstring, without its full stop."""
    return ((documented.__doc__ or "").strip().splitlines() or [""])[0].strip().removesuffix(".")
