"""What a function's code names, and whose code is taken not to change."""

from __future__ import annotations

import dis
import functools
import sys
import types
from typing import Any

from .._ground._bounded import Bounded

SIMPLE = frozenset({int, bool, str, bytes, type(None), type(Ellipsis)})
MOST_CODES = 4096
# By the id of a code, which is kept alive, so that no other takes it.
_CODES: Bounded = Bounded(MOST_CODES)


def bindings(fn: Any) -> list[tuple[dict, str, Any]] | None:
    """The globals that a plain function reads, if these are only numbers, libraries and other plain functions: while
    each name means the same object, the function has the same key. None for any other function."""
    found: list[tuple[dict, str, Any]] = []
    waiting, met = [fn], {id(fn)}
    while waiting:
        fn = waiting.pop()
        if type(fn) is not types.FunctionType or fn.__closure__ or fn.__defaults__ or fn.__kwdefaults__:
            return None
        scope = fn.__globals__
        for name in names_in(fn.__code__)[0]:
            if name not in scope:  # a builtin, until the module has one of the name
                found.append((scope, name, None))
                continue
            value = scope[name]
            found.append((scope, name, value))
            kind = type(value)
            if kind in SIMPLE or kind is float or kind is complex:
                continue
            if isinstance(value, types.ModuleType):
                if not is_library(value.__name__):
                    return None
            elif kind is types.FunctionType:
                if not is_library(value.__module__) and id(value) not in met:
                    met.add(id(value))
                    waiting.append(value)
            elif not callable(value) or not is_library(getattr(value, "__module__", None)):
                return None
    return found


def is_fixed(value: Any) -> bool:
    """Whether a static argument is no function of the user's."""
    if isinstance(value, functools.partial):
        return False
    return not callable(value) or isinstance(value, type) or is_library(getattr(value, "__module__", None))


def names_in(code: types.CodeType) -> tuple[tuple, tuple]:
    """The globals and the attributes that a code names, those of the functions inside it included."""
    known = _CODES.get(id(code))
    if known is None:
        names: dict[str, None] = {}
        attributes: dict[str, None] = {}
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names[step.argval] = None
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes[step.argval] = None
        for inner in code.co_consts:
            if isinstance(inner, types.CodeType):
                more = names_in(inner)
                names.update(dict.fromkeys(more[0]))
                attributes.update(dict.fromkeys(more[1]))
        known = _CODES[id(code)] = (code, tuple(names), tuple(attributes))
    return known[1:]


@functools.lru_cache(4096)
def is_library(module: str | None) -> bool:
    """Whether a module belongs to Python or was installed: it does not change while the user's own may."""
    if module is None:
        return False
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return (
        (top in sys.stdlib_module_names and top != "__main__")
        or any(part in file for part in ("site-packages", "dist-packages"))
        or top == "nablax"
    )
