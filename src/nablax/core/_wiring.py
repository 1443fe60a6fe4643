"""The wiring of a rule: what its functions ask for, by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from nablax.core._errors import ArgumentError


class Wiring(NamedTuple):
    """What the functions of a rule ask for, by name.

    Attributes:
      inputs: positional arguments of the rule after the first.
      fields: those that are fields of the state.
      wants: keyword arguments of the rule that are no flags.
      scalars, measure: arguments of these two.
      optional: arguments with a default, of any of the three.
    """

    inputs: tuple[str, ...]
    fields: tuple[str, ...]
    wants: tuple[str, ...]
    scalars: tuple[str, ...]
    measure: tuple[str, ...]
    optional: frozenset[str]


_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
_KEYWORD = (inspect.Parameter.KEYWORD_ONLY,)


def _names(fn: Callable[..., Any] | None, *kinds: Any) -> tuple[str, ...]:
    return (
        ()
        if fn is None
        else tuple(p.name for p in inspect.signature(fn).parameters.values() if p.kind in kinds)
    )


@functools.lru_cache(512)
def wiring_of(rule: Any, scalars: Any, measure: Any, flags: tuple[str, ...]) -> Wiring:
    names = _names(rule, *_POSITIONAL)
    if not names:
        raise ArgumentError(
            f"leafwise: a rule takes the update as its first argument, {rule.__name__} takes none."
        )
    defaults = [
        p.name
        for fn in (rule, scalars, measure)
        if fn is not None
        for p in inspect.signature(fn).parameters.values()
        if p.default is not p.empty
    ]
    return Wiring(
        inputs=names[1:],
        fields=tuple(n for n in names[1:] if n != "params"),
        wants=tuple(n for n in _names(rule, *_KEYWORD) if n not in flags),
        scalars=_names(scalars, *_POSITIONAL, *_KEYWORD),
        measure=_names(measure, *_KEYWORD),
        optional=frozenset(defaults),
    )
