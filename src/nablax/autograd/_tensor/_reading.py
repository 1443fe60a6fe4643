"""What a function reads: a key that is equal only where it would compute the same.

A function is its code, and the values that the code reads from elsewhere: what it closes over, its defaults, globals,
and attributes of objects among these; functions among them likewise. What can change is compared by value (numbers,
containers, objects by their attributes, NumPy arrays by their contents), what cannot by identity. Libraries are taken
not to change. Where something cannot be seen into (an iterator, a generator of random numbers) there is no key.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import types
import weakref
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

from .._path._recorded import Recorded
from .._segment._flush import realize
from ._codes import SIMPLE, is_library, names_in

MOST = 2000  # values looked at for one key
_DEEPEST = 16
_FIXED = (
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.CodeType,
    np.ufunc,
    jax.Array,
    jax.Device,
    jax.sharding.Sharding,
)


class Same:
    """A key equal only to the key of the very same object. It holds arrays and tensors weakly, and is then equal to no
    other key; whatever else it keeps alive, so that nothing takes its place."""

    __slots__ = ("_hash", "_held")

    def __init__(self, value: Any) -> None:
        self._hash = id(value)
        weakly = isinstance(value, jax.Array | np.ndarray | Recorded)
        self._held = weakref.ref(value) if weakly else lambda: value

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        held = self._held()
        return isinstance(other, Same) and held is not None and other._held() is held


class _Opaque(Exception):
    """A value that cannot be seen into."""


def key_of(value: Any) -> Hashable | None:
    """A key that is equal exactly for values that make the same program; None where that cannot be told.

    Numbers are told apart by type, sign of zero and NaN.
    """
    kind = type(value)
    if kind in SIMPLE:
        return (kind, value)
    try:
        return _Reader().key(value, 0)
    except (_Opaque, RecursionError):
        return None


class _Reader:
    """One walk through what a value refers to."""

    __slots__ = ("left", "seen")

    def __init__(self) -> None:
        self.left = MOST
        self.seen: dict[int, int] = {}

    def key(self, value: Any, depth: int) -> Hashable:
        kind = type(value)
        if kind in SIMPLE:
            return (kind, value)
        if kind is float or kind is complex:
            return (kind, repr(value))
        self.left -= 1
        if self.left < 0 or depth > _DEEPEST:
            raise _Opaque
        depth += 1
        if kind is types.ModuleType or isinstance(value, types.ModuleType):
            return Same(value)
        if kind is slice:
            return (
                slice,
                self.key(value.start, depth),
                self.key(value.stop, depth),
                self.key(value.step, depth),
            )
        if kind is tuple:
            return (kind, *[self.key(v, depth) for v in value])
        if isinstance(value, np.generic):
            return (kind, value.tobytes())
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            if owner is not None and not isinstance(owner, types.ModuleType | type):
                return (kind, value.__name__, self.key(owner, depth))
            return Same(value)
        if isinstance(value, np.dtype | enum.Enum):
            return value
        if isinstance(value, _FIXED):
            return Same(value)
        if isinstance(value, np.ndarray):
            if value.dtype == object:
                return (np.ndarray, value.shape, *[self.key(v, depth) for v in value.ravel().tolist()])
            return (np.ndarray, value.shape, value.dtype, hashlib.blake2b(value.tobytes()).digest())
        if isinstance(value, Recorded):
            return ("tensor", Same(value), Same(realize(value)))
        before = self.seen.setdefault(id(value), len(self.seen))
        if before != len(self.seen) - 1:
            return ("seen", before)  # a cycle, or the same object twice
        if kind is types.FunctionType:
            return self.function(value, depth)
        if kind is types.MethodType:
            return ("method", self.key(value.__self__, depth), self.key(value.__func__, depth))
        if isinstance(value, functools.partial):
            return (
                "partial",
                self.key(value.func, depth),
                self.key(value.args, depth),
                self.key(value.keywords, depth),
            )
        if kind is list:
            return (kind, *[self.key(v, depth) for v in value])
        if isinstance(value, dict):
            items = [(self.key(k, depth), self.key(v, depth)) for k, v in value.items()]
            return (kind, *items)
        if isinstance(value, set | frozenset):
            return (kind, frozenset(self.key(v, depth) for v in value))
        if isinstance(value, type):
            # An argument may be asked for anything; of a class that a function names, `attributes` reads what it asks.
            whole = depth == 1 and not is_library(value.__module__)
            return (Same(value), *self.members(value, depth)) if whole else Same(value)
        return self.object(value, kind, depth)

    def function(self, fn: types.FunctionType, depth: int) -> Hashable:
        """The code of a function and everything that it reads."""
        code = fn.__code__
        scope = fn.__globals__
        names: tuple = ()
        attributes: tuple = ()
        if not is_library(fn.__module__):
            names, attributes = names_in(code)
        elif not fn.__closure__:
            return Same(fn)
        found: list[Hashable] = ["function", Same(code), Same(scope)]
        for cell in fn.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not filled yet
                found.append(None)
            else:
                found.append(self.key(content, depth))
                self.attributes(content, attributes, found, depth)
        if fn.__defaults__:
            found.append(self.key(fn.__defaults__, depth))
        if fn.__kwdefaults__:
            found.append(self.key(fn.__kwdefaults__, depth))
        for name in names:
            if name in scope:
                content = scope[name]
                found.append(self.key(content, depth))
                self.attributes(content, attributes, found, depth)
        return tuple(found)

    def attributes(self, owner: Any, names: tuple, found: list[Hashable], depth: int) -> None:
        """Attributes with some names of a module or class of the user's."""
        if isinstance(owner, types.ModuleType):
            if is_library(owner.__name__):
                return
        elif not isinstance(owner, type) or is_library(owner.__module__):
            return
        for name in names:
            content = getattr(owner, name, None)
            if content is not None:
                found.append((name, self.key(content, depth)))
                if isinstance(content, types.ModuleType | type):
                    self.attributes(content, names, found, depth + 1)

    def object(self, value: Any, kind: type, depth: int) -> Hashable:
        """An object: its attributes, and those of its class's functions that they name."""
        library = is_library(kind.__module__)
        fields = getattr(value, "__dict__", None)
        if library and callable(value):
            inner = getattr(value, "__wrapped__", None)
            return Same(value) if inner is None else (Same(value), self.key(inner, depth))
        if fields is None or library:
            own: Any = kind.__hash__
            if own is not object.__hash__ and own is not None:
                try:
                    hash(value)
                    return (kind, value)  # by value, where the class says so
                except TypeError:
                    pass
            if fields is None and not hasattr(kind, "__slots__"):
                raise _Opaque
        found: list[Hashable] = [Same(kind)]
        for name, content in (fields or {}).items():
            found.append((name, self.key(content, depth)))
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__weakref__", "__dict__") and hasattr(value, name):
                    found.append((name, self.key(getattr(value, name), depth)))
        return (*found, *self.members(kind, depth))

    def members(self, kind: type, depth: int) -> list[Hashable]:
        """What stands in a class of the user's and those that it is built on."""
        found: list[Hashable] = []
        for base in kind.__mro__:
            if is_library(base.__module__):
                continue
            for name, content in base.__dict__.items():
                if (name.startswith("__") and name != "__call__") or name == "_abc_impl":
                    continue
                if isinstance(content, property):
                    content = content.fget
                elif isinstance(content, staticmethod | classmethod):
                    content = content.__func__
                if isinstance(content, types.MemberDescriptorType | types.GetSetDescriptorType):
                    continue
                found.append((name, self.key(content, depth)))
        return found
