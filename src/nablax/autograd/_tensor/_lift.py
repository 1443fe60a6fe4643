"""Lifting: any JAX function as an operation on tensors.

A call of a lifted function is flattened as a pytree. Tensors and arrays become arguments of the operation; everything
else (axes, shapes, dtypes, flags, functions, Python numbers with JAX's weak types) is static and belongs to its key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from .._ground._bounded import Bounded
from .._ground._errors import NoGradientError, user_line
from .._ground._narrow import is_large
from .._ground._sites import varies
from .._path._record import record, results
from .._path._recorded import Recorded, as_tensor
from .._path._trace import local
from .._segment._flush import realize
from ._codes import is_fixed
from ._frozen import HOLE, Frozen, Key, filled, isolated, static_key
from ._large import refitted
from ._reading import Same, key_of
from ._told import remember, told

_ARRAYS = (jax.Array, np.ndarray, np.generic)
MOST_LIFTED = 4096  # functions
_FROZEN: Bounded = Bounded(MOST_LIFTED)
_LIFTED: Bounded = Bounded(MOST_LIFTED)


def lifted(fn: Callable[..., Any], name: str, key: Hashable, numbers: bool = False) -> Lifted:
    """The one Lifted of a key, so that a function lifted in a loop is the same operation each time.

    numbers: whether it is one of `Numbers`.
    """
    found: Lifted | None = _LIFTED.get(key)
    if found is None:
        found = _LIFTED[key] = (Numbers if numbers else Lifted)(fn, name)
    return found


def lifted_now(fn: Callable[..., Any], name: str) -> Lifted:
    """A function of the user's, lifted; those with the same code share what they recorded."""
    inner = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    key = Same(getattr(inner, "__code__", inner))
    frozen = _FROZEN.get(key)
    if frozen is None:
        frozen = _FROZEN[key] = Frozen()
    return Lifted(fn, name, frozen)


def clear_lifted() -> None:
    """Forget the functions that were lifted, and with them the arrays that they close over."""
    _LIFTED.clear()
    for frozen in _FROZEN.values():  # those in use keep theirs, empty
        frozen.clear()
    _FROZEN.clear()


class Lifted:
    """A JAX function that also takes tensors. `autograd.lift` makes one.

    Called with tensors, or with plain arrays, it records and returns tensors. Called with tracers only (inside a
    jitted function, say) it is the plain function.
    """

    def __init__(self, fn: Callable[..., Any], name: str, frozen: Frozen | None = None) -> None:
        self.fn = isolated(fn)
        self._plain = fn
        self._frozen = frozen
        self._name = name
        self._key = Key()
        self._fixed: set[tuple] = set() if frozen is None else frozen.fixed
        functools.update_wrapper(self, fn, updated=())

    def __repr__(self) -> str:
        return f"<lifted {self._name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key: Any = self._key
        reads: Hashable = None
        if self._frozen is not None:
            reads, key = self._frozen.token(self._plain)
        if key is None:
            return self._anew(args, kwargs, reads)
        trace = local.trace
        trace.meet(jax.tree.leaves((args, kwargs)) if trace.x64 else None)
        known = told(trace, key, args, kwargs)
        before = trace.state
        state = before.edges.get(known)  # type: ignore[arg-type]
        if state is not None:
            trace.state = state
            return results(trace, state)
        edges = len(before.edges)
        found = self._anew(args, kwargs, reads)
        remember(trace, before, edges, known)
        return found

    def _anew(self, args: tuple, kwargs: dict[str, Any], reads: Hashable) -> Any:
        """A call that is not found as it was written: taken apart, and recorded."""
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays: list[Any] = []
        static: list[Any] = []
        keys: list[Hashable] = [self._key, tree]
        frozen = self._frozen
        if frozen is None and not kwargs and all(isinstance(a, Recorded) for a in args):

            def build_plain() -> tuple[str, Callable[..., Any]]:
                return self._name, self.fn

            try:
                return results(local.trace, record(self._key, build_plain, args))
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
                if frozen is None and not is_fixed(leaf):
                    frozen = _FROZEN.get(self._key) or Frozen()
                    _FROZEN[self._key] = frozen
                    reads = self._key
                keys.append(key_of(leaf) if frozen is not None else static_key(leaf))
                continue
            arrays.append(leaf)
            static.append(HOLE)
            keys.append(HOLE)
        if not tensors and any(isinstance(a, jax.core.Tracer) for a in arrays):
            return self.fn(*args, **kwargs)

        def build() -> tuple[str, Callable[..., Any]]:
            return self._name, filled(self.fn, tree, static)

        try:
            if frozen is None:
                return results(local.trace, record(tuple(keys), build, arrays))
            return results(local.trace, frozen.record(self, reads, keys[1:], tree, static, arrays))
        except Exception as error:
            if entered:
                self._fixed.update(entered)
                return self(*args, **kwargs)
            if isinstance(error, jax.errors.ConcretizationTypeError):
                return self._at_once(leaves, tree)
            raise

    def _varies(self, tree: Any, place: int, value: float) -> bool:
        if value.__class__ is int and is_large(value):  # as an input it might not fit
            return False
        return (tree, place) not in self._fixed and varies((tree, place), repr(value))

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
        return jax.tree.map(lambda x: as_tensor(x) if isinstance(x, jax.Array) else x, found)


class Numbers(Lifted):
    """A function whose integers are numbers to compute with: large ones are what they are beside the tensors."""

    def _anew(self, args: tuple, kwargs: dict[str, Any], reads: Hashable) -> Any:
        return super()._anew(*refitted(self._name, args, kwargs), reads)
