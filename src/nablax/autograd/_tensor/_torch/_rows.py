"""Rows of the tables: a name, torch's signature, and how it is made from JAX's.

A row is a function of arrays whose own signature is torch's and whose body says how it is made; most are a
lambda of one line. From it come the method of a tensor and the function at the top level, both recorded.
Where NumPy means something else by the name, the row says what NumPy's is, and the spelling decides: `axis=`,
`keepdims=`, `ddof=` and their like are NumPy's words, and a call with one of them is NumPy's function; every
other call is torch's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._ground._answers import FOREIGN, answer, answering
from ..._ground._errors import RangeError, user_line
from ..._path._recorded import Recorded
from .._lift import Lifted, Numbers
from .._views import view
from ._bounds import Within, bounded

IN_NUMPY = {
    "axis": "dim",
    "keepdims": "keepdim",
    "axis1": "dim1",
    "axis2": "dim2",
    "repeats": "repeats",
    "ord": "p",
}
ITS_OWN = {"ddof", "axis", "keepdims", "repeats", "ord", "axes", "a_min", "a_max", "initial", "kind", "order"}


class Row(NamedTuple):
    """fn: of arrays; its signature is torch's.  numpy: what NumPy means by the name, where that is something else.
    view: whether the result shares its elements with the first argument.  differs: on purpose, and why.
    number: whether integers among the arguments are numbers to compute with, not axes and sizes.
    direct: `fn` takes tensors and records what it does itself.
    within: what indices among the arguments may be; a function of the same arguments.
    """

    fn: Callable[..., Any]
    numpy: Callable[..., Any] | None = None
    view: bool = False
    differs: str = ""
    number: bool = False
    direct: bool = False
    within: Callable[..., Within | None] | None = None


Rows = dict[str, "Callable[..., Any] | Row"]


def rows(table: Rows, **fields: Any) -> dict[str, Row]:
    """Every entry of a theme's table as a Row, with these fields; a row of several names stands under each of them."""
    found: dict[str, Row] = {}
    for names, each in table.items():
        row = (each if isinstance(each, Row) else Row(each))._replace(**fields)
        found |= dict.fromkeys(names.split(), row)
    return found


class _Static(Lifted):
    """Integers are axes and sizes: they stay in the program, however many values they take."""

    def _varies(self, tree: Any, place: int, value: float) -> bool:
        return value.__class__ is float and super()._varies(tree, place, value)


def recorded(name: str, row: Row) -> Callable[..., Any]:
    """The row as an operation on tensors."""
    fn, numpys, is_view = row.fn, row.numpy, row.view
    if row.direct:
        call = _direct(fn, name)
    else:
        made: list[Any] = []
        of_numpy: list[Any] = []

        def call(*args: Any, **kwargs: Any) -> Any:
            if not made:
                made.append((Numbers if row.number else _Static)(fn, name))
                of_numpy.append(None if numpys is None else _Static(numpys, name))
            if kwargs:
                if numpys is not None and not ITS_OWN.isdisjoint(kwargs):
                    return of_numpy[0](*args, **_numpy_words(kwargs))
                kwargs = {IN_NUMPY.get(k, k): v for k, v in kwargs.items()}
            try:
                found = made[0](*args, **kwargs)
            except FOREIGN as error:
                said = _out_of_range(name, fn, args, kwargs) or answer(name, fn, args, kwargs, error)
                if said is error:
                    raise
                raise said from None
            if is_view and args and isinstance(args[0], Recorded):
                _viewed(args[0], found, fn, args[1:], kwargs)
            return found

    if row.within is not None:
        call = bounded(name, call, row.within)
    call.__name__ = call.__qualname__ = name
    vars(call)["__wrapped__"] = fn  # whose signature it has
    call.__doc__ = f"torch's {name}{shown(fn)}, recorded."
    return call


def _out_of_range(
    name: str, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> IndexError | None:
    """The error that names the axis which the first argument does not have; None where all are there."""
    n = max(getattr(args[0], "ndim", 0), 1) if args else 1
    try:
        given = inspect.signature(fn).bind(*args, **kwargs).arguments
    except TypeError:
        return None
    for word, value in given.items():
        several = value if isinstance(value, tuple | list) else (value,)
        if word.startswith("dim") and any(isinstance(d, int) and not -n <= d < n for d in several):
            return RangeError(f"{name}: {word} must lie in {-n} to {n - 1}, got {value}. At {user_line()}.")
    return None


def _direct(fn: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **{IN_NUMPY.get(k, k): v for k, v in kwargs.items()})

    return answering(call, name, fn)


def _numpy_words(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {{"dim": "axis", "keepdim": "keepdims"}.get(k, k): v for k, v in kwargs.items()}


def _viewed(base: Any, found: Any, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
    if isinstance(found, tuple | list):
        for i, each in enumerate(found):
            view(base, each, functools.partial(_part, fn, args, kwargs, i))
    else:
        view(base, found, lambda x: fn(x, *args, **kwargs))


def _part(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any], i: int, x: Any) -> Any:
    return fn(x, *args, **kwargs)[i]


def shown(fn: Callable[..., Any]) -> str:
    """The signature, as torch writes it."""
    plain = inspect.unwrap(fn, stop=_signed)
    code = getattr(plain, "__code__", None)
    if plain.__class__ is not FunctionType or code is None or _signed(plain):
        parameters = inspect.signature(fn).parameters.values()
        return str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))
    # What `inspect` says of a function, at a tenth of the price: hundreds are shown when this wing is imported.
    names, n, only = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    defaults = plain.__defaults__ or ()
    parts = [*names[: n - len(defaults)], *_with_defaults(names[n - len(defaults) : n], defaults)]
    if code.co_posonlyargcount:
        parts.insert(code.co_posonlyargcount, "/")
    stars = bool(code.co_flags & inspect.CO_VARARGS)
    if stars:
        parts.append(f"*{names[n + only]}")
    elif only:
        parts.append("*")
    named = plain.__kwdefaults__ or {}
    parts += [f"{k}={named[k]!r}" if k in named else k for k in names[n : n + only]]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parts.append(f"**{names[n + only + stars]}")
    return f"({', '.join(parts)})"


def _signed(fn: Any) -> bool:
    return hasattr(fn, "__signature__")


def _with_defaults(names: Sequence[str], values: Sequence[Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in zip(names, values, strict=True)]


def axes(dim: Any) -> Any:
    """Axes as JAX takes them."""
    return tuple(dim) if isinstance(dim, list) else dim


def axis(dim: int, n: int) -> int:
    """The number of an axis among n, counted from the front."""
    if not -max(n, 1) <= dim < max(n, 1):
        raise IndexError(f"dim must lie in {-max(n, 1)} to {max(n, 1) - 1}, got {dim}.")
    return dim % max(n, 1)


def ints(sizes: tuple) -> tuple[int, ...]:
    """`(2, 3)` of `f(2, 3)` and of `f((2, 3))`."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return tuple(int(n) for n in sizes)


def many(value: Any, n: int) -> tuple[int, ...]:
    """`(2, 2)` of a size that is given once for all n axes; several as they are."""
    return (int(value),) * n if isinstance(value, int | np.integer) else tuple(value)


def indices(found: Any) -> Any:
    """Indices in the type that JAX calls int: 64 bits where x64 is enabled."""
    return found.astype(int)


def _of_numbers(fn: Any) -> Any:
    """A single number has one axis, where it is asked for one, and none in the result: as in torch."""
    asked = isinstance(inspect.signature(fn).parameters["dim"].default, int)

    @functools.wraps(fn)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        if jnp.ndim(input) or not (asked or args or kwargs):
            return fn(input, *args, **kwargs)
        found = fn(jnp.reshape(input, 1), *args, **kwargs)
        return jax.tree.map(lambda x: jnp.reshape(x, ()) if jnp.size(x) == 1 else x, found)

    return call


def with_numbers(table: dict[str, Row]) -> dict[str, Row]:
    """The table, its rows that take `dim` for single numbers, too; names of one row stay names of one row."""
    made = {
        id(row): row._replace(fn=_of_numbers(row.fn))
        for row in table.values()
        if not row.direct and "dim" in inspect.signature(row.fn).parameters
    }
    return {name: made.get(id(row), row) for name, row in table.items()}
