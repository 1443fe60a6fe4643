"""What equations make of large arrays, entry by entry: values that can be had at some places alone.

A step of most optimizers takes, for an entry of the new state, nothing but entries of the same place and scalars. Read
so, its equations give the step of any stretch of a leaf, whatever the rest is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from nablax.core._elementwise import CALLS, ENTRYWISE, called

_SAME_ORDER = ("reshape", "broadcast_in_dim", "squeeze")


class WholeLeaf(Exception):
    """An equation takes more of a watched array than single entries."""


class Entry:
    """A large array, known by how its entries are made.

    Attributes:
      shape, dtype: of the array.
      array: the array itself, or None where it is made of others.
      watched: whether it depends on an array that may be taken entry by entry only.
    """

    __slots__ = ("_args", "_make", "array", "dtype", "shape", "watched")

    def __init__(
        self, like: Any, make: Callable[..., Any], args: Sequence[Any], watched: bool, array: Any = None
    ):
        self.shape, self.dtype = tuple(like.shape), np.dtype(like.dtype)
        self._make, self._args, self.watched, self.array = make, tuple(args), watched, array

    @classmethod
    def of(cls, array: Any, watched: bool) -> Entry:
        """The entries of an array that is there."""
        return cls(array, _itself, (), watched, array)

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


def arrays_of(entries: Iterable[Any]) -> list[Any]:
    """The arrays that are there of which some are made."""
    found, seen, open_ = [], set(), list(entries)
    while open_:
        entry = open_.pop()
        if isinstance(entry, Entry) and id(entry) not in seen:
            seen.add(id(entry))
            found += [] if entry.array is None else [entry.array]
            open_ += entry._args
    return found


def at(entries: Iterable[Entry], view: Callable[[Any], jax.Array], count: int) -> list[jax.Array]:
    """The entries of some arrays at some places, as vectors.

    Args:
      entries: the arrays.
      view: of an array that is there, the vector of its entries at these places.
      count: of places.
    """
    known: dict[int, Any] = {}

    def value(x: Any) -> Any:
        return known[id(x)] if isinstance(x, Entry) else x

    def make(x: Entry) -> Any:
        if x.array is not None:
            return view(x.array)
        if x._make is _everywhere:
            return jnp.full((count,), x._args[0], x.dtype)
        return x._make(*map(value, x._args))

    # A stack of its own: a long chain of operations is deeper than Python's calls may go.
    wanted = list(entries)
    open_: list[Any] = wanted[::-1]
    while open_:
        entry = open_[-1]
        lacking = [x for x in entry._args if isinstance(x, Entry) and id(x) not in known]
        if lacking:
            open_ += lacking[::-1]
        elif id(open_.pop()) not in known:
            known[id(entry)] = make(entry)
    return [known[id(x)] for x in wanted]


def entries_of(function: Callable[..., Any], args: Sequence[Any], watched: Sequence[bool], small: int) -> Any:
    """The results of a function, those of its arguments that are large taken entry by entry.

    Args:
      function: pure, of trees of arrays.
      args: its arguments.
      watched: for each argument, whether its large arrays may be taken entry by entry only.
      small: arrays with fewer entries are taken as they are.

    Returns:
      The tree of results, with an `Entry` for each that is made so.

    Raises:
      WholeLeaf: the function takes more of a watched array, or has effects.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    if closed.effects:
        raise WholeLeaf
    given = []
    for arg, only in zip(args, watched, strict=True):
        for x in jax.tree.leaves(arg):
            plain = hasattr(x, "dtype") and isinstance(x.dtype, np.dtype)
            given.append(Entry.of(x, only) if plain and x.size >= small else x)
    return jax.tree.unflatten(jax.tree.structure(shape), _run(closed.jaxpr, closed.consts, given, small))


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], small: int) -> list[Any]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for eqn in jaxpr.eqns:
        known.update(zip(eqn.outvars, _equation(eqn, [read(a) for a in eqn.invars], small), strict=True))
    return [read(a) for a in jaxpr.outvars]


def _equation(eqn: Any, args: list[Any], small: int) -> Sequence[Any]:
    name, entries = eqn.primitive.name, [x for x in args if isinstance(x, Entry)]
    out: Any = eqn.outvars[0].aval if eqn.outvars else None
    if not entries:
        if name == "broadcast_in_dim" and np.ndim(args[0]) == 0 and out.size >= small:
            return [Entry(out, _everywhere, args, False)]
        return _whole(eqn, args)
    watched = any(x.watched for x in entries)
    if name == "optimization_barrier":
        held = lax.optimization_barrier
        return [Entry(x, held, [x], x.watched) if isinstance(x, Entry) else held(x) for x in args]
    if name in CALLS:
        inner = called(eqn)
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), args, small)
    if name in ENTRYWISE and not eqn.primitive.multiple_results and all(x.size == out.size for x in entries):
        own = [x if isinstance(x, Entry) or np.ndim(x) == 0 else _spread(x, out) for x in args]
        return [Entry(out, functools.partial(eqn.primitive.bind, **eqn.params), own, watched)]
    if name in _SAME_ORDER and out.size == entries[0].size and not _turned(eqn):
        return [Entry(out, _itself, args[:1], watched)]
    if watched:
        raise WholeLeaf
    return _whole(eqn, [_forced(x) if isinstance(x, Entry) else x for x in args])


def _spread(x: Any, out: Any) -> Entry:
    return Entry.of(x if np.shape(x) == out.shape else jnp.broadcast_to(x, out.shape), False)


def _turned(eqn: Any) -> bool:
    return eqn.primitive.name == "reshape" and eqn.params["dimensions"] is not None


def _whole(eqn: Any, args: list[Any]) -> Sequence[Any]:
    out = eqn.primitive.bind(*args, **eqn.primitive.get_bind_params(eqn.params))
    return out if eqn.primitive.multiple_results else [out]


def _forced(entry: Entry) -> jax.Array:
    if entry.array is not None:
        return entry.array
    return at([entry], jnp.ravel, entry.size)[0].reshape(entry.shape)


def _itself(x: Any) -> Any:
    return x


def _everywhere(x: Any) -> Any:
    raise AssertionError("a scalar has no entries of its own")
