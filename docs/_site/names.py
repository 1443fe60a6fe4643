"""The public names: what each module of the reference lists, and where each object is at home."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any

import nablax

WINGS = (
    "nablax.core",
    "nablax.transforms",
    "nablax.transforms.aggregating",
    "nablax.optimizers",
    "nablax.schedules",
    "nablax.losses",
    "nablax.projections",
    "nablax.assignment",
    "nablax.tree",
    "nablax.second_order",
    "nablax.linesearch",
    "nablax.perturbations",
    "nablax.games",
    "nablax.games.methods",
    "nablax.distributed",
    "nablax.runtime",
    "nablax.autograd",
    "nablax.autograd.nn",
    "nablax.autograd.nn.functional",
    "nablax.autograd.nn.init",
    "nablax.autograd.nn.utils",
)
MODULES = ("nablax", *WINGS, "nablax.optax")


@functools.cache
def public(module: str) -> dict[str, Any]:
    """The names that a module offers, in the order of its `__init__`: no modules, nothing that starts with `_`."""
    value = importlib.import_module(module)
    names = [*vars(value), *(n for n in dir(value) if n not in vars(value))]
    found = {n: getattr(value, n) for n in names if not n.startswith("_")}
    return {n: o for n, o in found.items() if not isinstance(o, types.ModuleType) and _is_ours(n, o)}


def _is_ours(name: str, value: Any) -> bool:
    """Whether a name is part of an interface; `Any` and `TYPE_CHECKING` only came along."""
    return value is not Any and not isinstance(value, bool)


def file_of(value: Any) -> str:
    """The module in which an object was written: what it says itself, or what its class says."""
    own = getattr(inspect.unwrap(value) if callable(value) else value, "__module__", None)
    return own if isinstance(own, str) else type(value).__module__


def homes() -> dict[int, str]:
    """id of an object -> its full name in the wing where it was written, or else in the first that has it."""
    found: dict[int, str] = {}
    for write in (True, False):
        for wing in WINGS:
            for name, value in public(wing).items():
                if not write or file_of(value) == wing or file_of(value).startswith(f"{wing}._"):
                    found.setdefault(id(value), f"{wing}.{name}")
    return found


def entries(module: str) -> Iterator[tuple[str, Any, str]]:
    """Name, object and full name at home of everything that a module lists."""
    for name, value in public(module).items():
        yield name, value, HOMES.get(id(value), f"{module}.{name}")


def head_of(file: str) -> str:
    """What a module says about itself."""
    module = sys.modules.get(file)
    return inspect.getdoc(module) or "" if module is not None and module is not nablax else ""


HOMES = homes()
