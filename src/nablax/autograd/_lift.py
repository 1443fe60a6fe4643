"""Lifting: any JAX function as an operation on tensors.

A call of a lifted function is flattened as a pytree. Tensors and arrays become arguments of the operation; everything
else (axes, shapes, dtypes, flags, functions, Python numbers with JAX's weak types) is static and belongs to its key.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from ._errors import NoGradientError, user_line
from ._record import record, results
from ._recorded import Recorded
from ._segment import realize
from ._sites import varies
from ._trace import apart, local
from ._values import as_tensor

_HOLE = "·"  # stands for an array among the static leaves
_ARRAYS = (jax.Array, np.ndarray, np.generic)


_LIFTED: dict[Hashable, Lifted] = {}


def lifted(fn: Callable[..., Any], name: str, key: Hashable, kind: type) -> Lifted:
    """The one Lifted of a key, so that a function lifted in a loop is the same operation each time."""
    found = _LIFTED.get(key)
    if found is None:
        found = _LIFTED[key] = Lifted(fn, name, kind)
    return found


def clear_lifted() -> None:
    """Forget the functions that were lifted, and with them the arrays that they close over."""
    _LIFTED.clear()


class _Key:
    """Stands for a function in the keys of a recording: equal by identity, so quick to hash."""


class Lifted:
    """A JAX function that also takes tensors. `autograd.lift` makes one.

    Called with tensors, or with plain arrays, it records and returns tensors. Called with tracers only (inside a
    jitted function, say) it is the plain function.
    """

    def __init__(self, fn: Callable[..., Any], name: str, kind: type) -> None:
        self.fn = _apart(fn)
        self._name = name
        self._key = _Key()
        self._kind = kind
        self._fixed: set[tuple] = set()  # numbers that the function must know when it is traced
        functools.update_wrapper(self, fn, updated=())

    def __repr__(self) -> str:
        return f"<lifted {self._name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs:  # only tensors, seen before: the fast path, as for operators
            trace = local.trace
            trace.meet()
            try:
                state = trace.state.edges[(self._key, *[a._s for a in args])]
            except (KeyError, AttributeError):
                pass
            else:
                trace.state = state
                return results(trace, state, self._kind)
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays: list[Any] = []
        static: list[Any] = []
        keys: list[Hashable] = [self._key, tree]
        if not kwargs and all(isinstance(a, Recorded) for a in args):

            def build_plain() -> tuple[str, Callable[..., Any]]:
                return self._name, self.fn

            try:
                return results(local.trace, record(self._key, build_plain, args), self._kind)
            except jax.errors.ConcretizationTypeError:
                return self._at_once(leaves, tree)
        tensors = False
        entered: list[tuple] = []  # numbers that vary, and so become inputs
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Recorded):
                tensors = True
            elif (leaf.__class__ is float or leaf.__class__ is int) and self._varies(tree, place, leaf):
                entered.append((tree, place))
            elif not isinstance(leaf, _ARRAYS):
                static.append(leaf)
                keys.append(static_key(leaf))
                continue
            arrays.append(leaf)
            static.append(_HOLE)
            keys.append(_HOLE)
        if not tensors and any(isinstance(a, jax.core.Tracer) for a in arrays):
            return self.fn(*args, **kwargs)

        def build() -> tuple[str, Callable[..., Any]]:
            return self._name, filled(self.fn, tree, static)

        try:
            return results(local.trace, record(tuple(keys), build, arrays), self._kind)
        except Exception as error:
            if entered:
                self._fixed.update(entered)
                return self(*args, **kwargs)
            if isinstance(error, jax.errors.ConcretizationTypeError):
                return self._at_once(leaves, tree)
            raise

    def _varies(self, tree: Any, place: int, value: float) -> bool:
        return (tree, place) not in self._fixed and varies((self._key, tree, place), repr(value))

    def _at_once(self, leaves: list[Any], tree: Any) -> Any:
        """A function that reads its arguments' values cannot be recorded: it runs now, without gradient."""
        if any(isinstance(leaf, Recorded) and leaf.requires_grad for leaf in leaves):
            raise NoGradientError(
                f"{self._name} reads the values of its arguments, so no gradient can be recorded through it; detach "
                f"them, "
                f"or see whether it has a static argument (as size= or length=) that says what it wants to know. At "
                f"{user_line()}."
            )
        args, kwargs = jax.tree.unflatten(
            tree, [realize(x) if isinstance(x, Recorded) else x for x in leaves]
        )
        found = self.fn(*args, **kwargs)
        return jax.tree.map(lambda x: as_tensor(x, self._kind) if isinstance(x, jax.Array) else x, found)


def _apart(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with apart():
            return fn(*args, **kwargs)

    return inside


def filled(fn: Callable[..., Any], tree: Any, static: list[Any]) -> Callable[..., Any]:
    """`fn` as a function of the arrays that go into the holes among its static leaves."""

    def of_arrays(*arrays: Any) -> Any:
        entering = iter(arrays)
        args, kwargs = jax.tree.unflatten(
            tree, [next(entering) if leaf is _HOLE else leaf for leaf in static]
        )
        return fn(*args, **kwargs)

    return of_arrays


def static_key(value: Any, depth: int = 0) -> Hashable:
    """A key that is equal exactly for values that make the same program.

    Numbers are told apart by type, sign of zero and NaN. A function is known by its code, what it closes over and its
    defaults, so that a lambda written in a loop is one function, not many.
    """
    kind = type(value)
    if kind in (int, bool, str, bytes, type(None), type(Ellipsis)):
        return (kind, value)
    if kind in (float, complex):
        return (kind, repr(value))
    if kind is slice:
        return (slice, static_key(value.start), static_key(value.stop), static_key(value.step))
    if isinstance(value, types.FunctionType):
        return _function_key(value, depth)
    if isinstance(value, types.MethodType):
        return ("method", static_key(value.__func__, depth), _object_key(value.__self__))
    if isinstance(value, functools.partial) and depth < 8:
        named = tuple((k, static_key(v, depth + 1)) for k, v in sorted(value.keywords.items()))
        return (
            "partial",
            static_key(value.func, depth + 1),
            *(static_key(a, depth + 1) for a in value.args),
            named,
        )
    if kind in (tuple, list) and depth < 8:
        return (kind, *(static_key(v, depth + 1) for v in value))
    if kind is dict and depth < 8:
        return (dict, *((static_key(k), static_key(v, depth + 1)) for k, v in value.items()))
    return _object_key(value)


def _function_key(fn: types.FunctionType, depth: int) -> Hashable:
    if depth >= 8:
        return Same(fn)
    cells = []
    for cell in fn.__closure__ or ():
        try:
            cells.append(static_key(cell.cell_contents, depth + 1))
        except ValueError:  # a cell not filled yet: a function that refers to itself
            cells.append(None)
    defaults = static_key(fn.__defaults__, depth + 1), static_key(fn.__kwdefaults__, depth + 1)
    return ("function", Same(fn.__code__), Same(fn.__globals__), *cells, *defaults)


def _object_key(value: Any) -> Hashable:
    """By value where the class says so (dataclasses, dtypes, enums), by identity otherwise."""
    kind = type(value)
    if isinstance(value, np.dtype | type) or (
        kind.__hash__ is not object.__hash__ and not isinstance(value, _ARRAYS)
    ):
        try:
            hash(value)
            return (kind, value)
        except TypeError:
            pass
    return Same(value)


class Same:
    """A key equal only to the key of the very same object, which it keeps alive so that no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value
