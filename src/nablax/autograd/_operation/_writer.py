"""Equations of JAX's, written one by one without tracing: a few microseconds each, where a trace takes a hundred.

The words are JAX's elementary operations under short names; the results are variables of its jaxprs, so that what is
written here and what JAX traced are one language.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.api_util import debug_info
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, new_jaxpr_eqn

Atom = Any  # a variable, or a literal


def _maker() -> Callable[[tuple[int, ...], Any, bool], Any]:
    """JAX's constructor of abstract values without what it does for shapes and dtypes that need not be looked at, if
    this version has one."""
    kind: Any = jax.core.ShapedArray
    # With these JAX prepares itself for each number of axes.
    like = [kind((2,) * n, np.dtype(np.float32)) for n in range(5)]

    def quick(shape: tuple[int, ...], dtype: Any, weak: bool) -> Any:
        if len(shape) >= len(like) or isinstance(dtype, type):
            return kind(shape, dtype, weak_type=weak)
        known = like[len(shape)]
        return kind._create(shape, dtype, weak, known.sharding, known.manual_axis_type, known.memory_space)

    try:
        if all(quick(known.shape, known.dtype, False) is known for known in like):
            return quick
    except (AttributeError, TypeError):
        pass
    return lambda shape, dtype, weak: kind(shape, dtype, weak_type=weak)


_shaped = _maker()


@functools.lru_cache(4096)
def shaped(shape: tuple[int, ...], dtype: Any, weak: bool = False) -> Any:
    """JAX's abstract value, one for each shape and dtype: making it is most of the price of an equation."""
    return _shaped(shape, dtype, weak)


_NONE: Any = frozenset()  # effects
# Equations that are written have the frames and the context of this one.
_LIKE = new_jaxpr_eqn([], [], lax.neg_p, {}, _NONE)
_SOURCE, _CONTEXT = _LIKE.source_info, _LIKE.ctx
_UNKNOWN = debug_info("nablax.autograd", lambda: (), (), {}).with_unknown_names().resolve_result_paths()
# The parameters of a product, which JAX's versions have and have not.
_OF_PRODUCTS = {"out_dtype": None} if "out_dtype" in inspect.signature(lax.mul).parameters else {}


class Body(Jaxpr):
    """JAX's jaxpr with attributes in the place of properties: what is written here is read a hundred times a step."""

    __slots__ = ("constvars", "effects", "eqns", "invars", "outvars")
    constvars: Any
    effects: Any
    eqns: Any
    invars: Any
    outvars: Any
    debug_info: Any = _UNKNOWN
    is_high = False

    def __init__(self, constvars: Any, invars: Any, outvars: Any, eqns: Any, effects: Any) -> None:
        self.constvars = constvars
        self.invars = invars
        self.outvars = outvars
        self.eqns = eqns
        self.effects = effects
        self._debug_info = _UNKNOWN


class Closed(ClosedJaxpr):
    """The same of a closed one."""

    __slots__ = ("consts", "jaxpr")

    def __init__(self, jaxpr: Any, consts: Any) -> None:
        self.jaxpr = self._jaxpr = jaxpr
        self.consts = self._consts = consts


def _listed(values: Sequence[Any]) -> Any:
    return values if values.__class__ is list else list(values)


def closed_of(
    invars: Sequence[Any],
    outvars: Sequence[Any],
    eqns: Sequence[Any],
    constvars: Sequence[Any] = (),
    consts: Sequence[Any] = (),
    effects: Any = frozenset(),
) -> Any:
    """A jaxpr of these equations; lists are taken as they are."""
    body = Body(_listed(constvars), _listed(invars), _listed(outvars), _listed(eqns), effects)
    return Closed(body, _listed(consts))


BOOL = np.dtype(bool)


class Writer:
    """A list of equations that grows.

    letters: whether sizes stand for any others that are as equal: nothing may be decided by which is the larger.
    """

    def __init__(self, eqns: Sequence[Any] = (), letters: bool = False) -> None:
        self.eqns = list(eqns)
        self.letters = letters

    def emit(
        self, primitive: Any, ins: Sequence[Atom], shape: tuple[int, ...], dtype: Any, /, **params: Any
    ) -> Var:
        """Write one equation; the variable of its result."""
        out = Var(shaped(shape, dtype))
        self.eqns.append(JaxprEqn(list(ins), [out], primitive, params, _NONE, _SOURCE, _CONTEXT))
        return out

    def into(self, out: Var, primitive: Any, ins: Sequence[Atom], /, **params: Any) -> None:
        """Write one equation whose result has a variable already."""
        self.eqns.append(JaxprEqn(list(ins), [out], primitive, params, _NONE, _SOURCE, _CONTEXT))

    def number(self, value: float, dtype: Any) -> Literal:
        """A number, which elementwise operations take beside an array."""
        return Literal(np.asarray(value, dtype)[()], shaped((), dtype))

    def full(self, shape: tuple[int, ...], value: float, dtype: Any) -> Atom:
        """An array of one number."""
        return self.broadcast(self.number(value, dtype), shape, ())

    # -- of each element -------------------------------------------------------------------------------------------

    def unary(self, primitive: Any, x: Atom, **params: Any) -> Var:
        return self.emit(primitive, (x,), x.aval.shape, x.aval.dtype, **params)

    def binary(self, primitive: Any, a: Atom, b: Atom, dtype: Any = None, **params: Any) -> Var:
        """Of two arrays of one rank, or of an array and a number; axes of length 1 stretch."""
        first, second = a.aval.shape, b.aval.shape
        shape = first if first == second or not second else second if not first else _joined(first, second)
        return self.emit(primitive, (a, b), shape, a.aval.dtype if dtype is None else dtype, **params)

    def add(self, a: Atom, b: Atom) -> Var:
        return self.binary(lax.add_p, a, b)

    def sub(self, a: Atom, b: Atom) -> Var:
        return self.binary(lax.sub_p, a, b)

    def mul(self, a: Atom, b: Atom) -> Var:
        return self.binary(lax.mul_p, a, b, **_OF_PRODUCTS)

    def div(self, a: Atom, b: Atom) -> Var:
        return self.binary(lax.div_p, a, b)

    def neg(self, x: Atom) -> Var:
        return self.unary(lax.neg_p, x)

    def scaled(self, x: Atom, by: float) -> Var:
        """x times a number."""
        return self.mul(x, self.number(by, x.aval.dtype))

    def compare(self, primitive: Any, a: Atom, b: Atom) -> Var:
        return self.binary(primitive, a, b, BOOL)

    def select(self, which: Atom, no: Atom, yes: Atom) -> Var:
        """`yes` where `which` holds, all of one shape."""
        return self.emit(lax.select_n_p, (which, no, yes), no.aval.shape, no.aval.dtype)

    def convert(self, x: Atom, dtype: Any) -> Atom:
        if x.aval.dtype == dtype:
            return x
        dtype = np.dtype(dtype)
        return self.emit(
            lax.convert_element_type_p,
            (x,),
            x.aval.shape,
            dtype,
            new_dtype=dtype,
            weak_type=False,
            sharding=None,
        )

    # -- of shapes -------------------------------------------------------------------------------------------------

    def reshape(self, x: Atom, shape: tuple[int, ...]) -> Atom:
        if x.aval.shape == shape:
            return x
        return self.emit(
            lax.reshape_p, (x,), shape, x.aval.dtype, new_sizes=shape, dimensions=None, sharding=None
        )

    def broadcast(self, x: Atom, shape: tuple[int, ...], axes: tuple[int, ...]) -> Atom:
        """x with its axes at `axes` of `shape`, repeated along the others."""
        if x.aval.shape == shape:
            return x
        return self.emit(
            lax.broadcast_in_dim_p, (x,), shape, x.aval.dtype,
            shape=shape, broadcast_dimensions=axes, sharding=None,
        )  # fmt: skip

    def transpose(self, x: Atom, order: tuple[int, ...]) -> Atom:
        if order == tuple(range(len(order))):
            return x
        shape = tuple([x.aval.shape[i] for i in order])
        return self.emit(lax.transpose_p, (x,), shape, x.aval.dtype, permutation=order)

    def slice(
        self, x: Atom, start: Sequence[int], limit: Sequence[int], strides: Sequence[int] | None = None
    ) -> Atom:
        steps = strides or (1,) * len(start)
        shape = tuple([max(0, -((a - b) // s)) for a, b, s in zip(start, limit, steps, strict=True)])
        if shape == x.aval.shape:
            return x
        return self.emit(
            lax.slice_p, (x,), shape, x.aval.dtype,
            start_indices=tuple(start), limit_indices=tuple(limit), strides=strides and tuple(strides),
        )  # fmt: skip

    def pad(self, x: Atom, config: Sequence[tuple[int, int, int]]) -> Atom:
        """x among zeros: for each axis how many before, after, and between two elements."""
        if not any(map(any, config)):
            return x
        shape = tuple(
            [low + n + max(0, n - 1) * between + high
             for n, (low, high, between) in zip(x.aval.shape, config, strict=True)]
        )  # fmt: skip
        zero = self.number(0, x.aval.dtype)
        return self.emit(lax.pad_p, (x, zero), shape, x.aval.dtype, padding_config=tuple(config))

    def concatenate(self, xs: Sequence[Atom], axis: int) -> Atom:
        if len(xs) == 1:
            return xs[0]
        shape = list(xs[0].aval.shape)
        shape[axis] = sum(x.aval.shape[axis] for x in xs)
        return self.emit(lax.concatenate_p, xs, tuple(shape), xs[0].aval.dtype, dimension=axis)

    # -- of many elements ------------------------------------------------------------------------------------------

    def sum(self, x: Atom, axes: tuple[int, ...]) -> Atom:
        return self._reduced(lax.reduce_sum_p, x, axes, out_sharding=None)

    def max(self, x: Atom, axes: tuple[int, ...]) -> Atom:
        return self._reduced(lax.reduce_max_p, x, axes)

    def min(self, x: Atom, axes: tuple[int, ...]) -> Atom:
        return self._reduced(lax.reduce_min_p, x, axes)

    def _reduced(self, primitive: Any, x: Atom, axes: tuple[int, ...], **params: Any) -> Atom:
        if not axes:
            return x
        shape = tuple([n for i, n in enumerate(x.aval.shape) if i not in axes])
        return self.emit(primitive, (x,), shape, x.aval.dtype, axes=axes, **params)

    def dot(self, a: Atom, b: Atom, over: tuple, batch: tuple = ((), ()), dtype: Any = None) -> Var:
        """The sum over axes `over` (of a, of b), for each index of the axes `batch`."""
        lengths, others = a.aval.shape, b.aval.shape
        shape = (
            *[lengths[i] for i in batch[0]],
            *[n for i, n in enumerate(lengths) if i not in over[0] and i not in batch[0]],
            *[n for i, n in enumerate(others) if i not in over[1] and i not in batch[1]],
        )
        dtype = a.aval.dtype if dtype is None else dtype
        return self.emit(
            lax.dot_general_p, (a, b), shape, dtype,
            dimension_numbers=(over, batch), precision=None, preferred_element_type=dtype, out_sharding=None,
        )  # fmt: skip

    # -- what is written by JAX ------------------------------------------------------------------------------------

    def traced(self, fn: Callable[..., Any], *args: Atom) -> list[Any]:
        """The equations that JAX traces for a function of arrays; the variables of its results."""
        structs = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in args]
        closed = jax.make_jaxpr(fn)(*structs)
        return self.splice(closed, args)

    def splice(self, closed: Any, args: Sequence[Atom]) -> list[Any]:
        """The equations of a jaxpr, of which these are the arguments; the atoms of its results."""
        jaxpr = closed.jaxpr
        places: dict[Any, Any] = dict(zip(jaxpr.invars, args, strict=True))
        for var, value in zip(jaxpr.constvars, closed.consts, strict=True):
            places[var] = Literal(value, var.aval)

        def read(atom: Any) -> Any:
            return atom if isinstance(atom, Literal) else places.get(atom, atom)

        for eqn in jaxpr.eqns:
            self.eqns.append(eqn.replace(invars=[read(v) for v in eqn.invars]))
        return [read(v) for v in jaxpr.outvars]


def _joined(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([m if n == 1 else n for n, m in zip(a, b, strict=True)])


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes an order of axes."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))
