"""A trace of JAX's own functions at a fifth of the price of `jax.make_jaxpr`.

A function is called with tracers whose trace does one thing: it writes down each elementary operation. It keeps no
stack of frames for messages, and finds shapes of elementwise operations without asking JAX. What it does not
understand it leaves to `jax.make_jaxpr`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Trace, Tracer
from jax.extend.core import Literal, Var, new_jaxpr_eqn, set_current_trace

from .._ground._narrow import is_large
from ._custom import CUSTOM
from ._writer import Writer, closed_of, shaped
from ._written._elementwise import OPERATORS
from ._written._picking import picked
from ._written._rule import Rule, Unwritten

_ALIKE = {
    "add", "sub", "mul", "div", "max", "min", "pow", "atan2", "rem", "neg", "exp", "exp2", "log", "log1p", "expm1",
    "sin", "cos", "tan", "tanh", "logistic", "sqrt", "rsqrt", "square", "integer_pow", "abs", "sign", "floor", "ceil",
    "erf", "sinh", "cosh", "asin", "acos", "atan", "add_any", "stop_gradient",
}  # fmt: skip
_TRUTHS = {"eq", "ne", "lt", "le", "gt", "ge", "is_finite"}
_BOOL = np.dtype(bool)


class Strange(Exception):
    """Something that only JAX's own trace understands."""


def _operator(name: str, rule: Rule, swapped: bool = False) -> Callable[[Any, Any], Any]:
    """An operator that is written where there is a rule for its arguments, JAX's elsewhere."""
    theirs = getattr(Tracer, name)

    def method(self: Any, other: Any) -> Any:
        trace = self._trace
        kind = other.__class__
        if kind is _Value and other._trace is trace:
            given = other._atom
        elif kind is float or kind is int:
            given = other
        elif kind is np.ndarray and not other.shape and other.dtype == self._atom.aval.dtype:
            given = Literal(other[()], shaped((), other.dtype))
        else:
            return theirs(self, other)
        eqns = trace.eqns
        before = len(eqns)
        try:
            out = rule(trace.writer, given, self._atom) if swapped else rule(trace.writer, self._atom, given)
        except Unwritten:
            # Large integers JAX's own trace refuses, or takes for what they are.
            if kind is int and is_large(other):
                raise Strange from None
            del eqns[before:]
            return theirs(self, other)
        return _Value(trace, out)

    return method


class _Value(Tracer):
    """A value of the trace; a variable or a literal stands for it."""

    __slots__ = ("_atom",)

    def __init__(self, trace: Light, atom: Any) -> None:
        super().__init__(trace, atom.aval)
        self._atom = atom

    for _name, _rule in OPERATORS.items():
        locals()[f"__{_name}__"] = _operator(f"__{_name}__", _rule)
    for _name in ("add", "sub", "mul", "truediv"):
        locals()[f"__r{_name}__"] = _operator(f"__r{_name}__", OPERATORS[_name], True)
    del _name, _rule

    def __getitem__(self, index: Any) -> Any:
        trace, parts = self._trace, index if index.__class__ is tuple else (index,)
        if all(p.__class__ is int or p.__class__ is slice for p in parts):
            before = len(trace.eqns)
            try:
                return _Value(trace, picked(trace.writer, self._atom, parts))
            except Unwritten:
                del trace.eqns[before:]
        return Tracer.__getitem__(self, index)


class Light(Trace):
    """Writes equations."""

    __slots__ = ("eqns", "writer")

    def __init__(self) -> None:
        super().__init__()
        self.writer = Writer()
        self.eqns: list[Any] = self.writer.eqns

    def atom(self, value: Any) -> Any:
        """What stands for a value in an equation."""
        if value.__class__ is _Value and value._trace is self:
            return value._atom
        if isinstance(value, Tracer) or not hasattr(value, "dtype"):
            raise Strange  # of another trace
        return Literal(value, jax.typeof(value))

    def new(self, aval: Any) -> _Value:
        return _Value(self, Var(aval))

    def process_primitive(self, primitive: Any, tracers: Sequence[Any], params: dict[str, Any], /) -> Any:
        ins = [self.atom(t) for t in tracers]
        if (
            primitive.name == "convert_element_type"
            and isinstance(ins[0], Literal)
            and not np.ndim(ins[0].val)
        ):
            aval = shaped((), params["new_dtype"], params["weak_type"])
            return _Value(self, Literal(np.asarray(ins[0].val, aval.dtype)[()], aval))
        if primitive.name == "convert_element_type":
            aval = _converted(ins[0].aval, params)
        else:
            aval = _elementwise(primitive.name, ins, params)
        effects: Any = set()
        if aval is None:
            aval, effects = primitive.abstract_eval(*[v.aval for v in ins], **params)
            if effects:
                raise Strange
        outs = [self.new(a) for a in (aval if primitive.multiple_results else (aval,))]
        self.eqns.append(new_jaxpr_eqn(ins, [t._atom for t in outs], primitive, params, effects))
        return outs if primitive.multiple_results else outs[0]

    def process_custom_jvp_call(
        self, primitive: Any, fun: Any, jvp: Any, tracers: Sequence[Any], /, *, symbolic_zeros: bool
    ) -> Any:
        ins = [self.atom(t) for t in tracers]
        if symbolic_zeros or not all(np.issubdtype(v.aval.dtype, np.floating) for v in ins):
            raise Strange
        inner, invars, outvars = written(fun.call_wrapped, [v.aval for v in ins])
        outs = [self.new(v.aval) for v in outvars]
        called = closed_of(invars, outvars, inner)
        self.eqns.append(
            new_jaxpr_eqn(
                ins,
                [t._atom for t in outs],
                CUSTOM,
                {"call_jaxpr": called, "jvp": _again(jvp), "pull": None, "host": None},
                set(),
            )
        )
        return outs

    def stage_value(self, val: Any) -> Any:
        return _Value(self, self.atom(val))

    def process_custom_vjp_call(self, *args: Any, **options: Any) -> Any:
        raise Strange

    process_call = process_map = process_shard_map = process_custom_transpose = process_custom_vjp_call


def written(fn: Callable[..., Sequence[Any]], avals: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """The equations of a function that returns a sequence of arrays, its arguments and its results.

    Raises:
      Strange: it does what only JAX's trace understands.
    """
    light = Light()
    args = [light.new(aval) for aval in avals]
    with set_current_trace(light):
        found = fn(*args)
        outs = [light.atom(v if isinstance(v, Tracer) else np.asarray(v)) for v in found]
    return light.eqns, [t._atom for t in args], outs


def _again(jvp: Any) -> Callable[..., Any]:
    """A wrapped function of JAX's that may be called more than once."""

    def call(*args: Any) -> Any:
        for store in jvp.stores:
            if store:
                store.reset()
        return jvp.call_wrapped(*args)

    return call


def _converted(given: Any, params: dict[str, Any]) -> Any:
    """The result's aval of a conversion between numbers; None for anything else."""
    dtype = params["new_dtype"]
    if params.get("sharding") is not None or not given.sharding.mesh.empty:
        return None
    plain = isinstance(dtype, np.dtype) and isinstance(given.dtype, np.dtype)
    return shaped(given.shape, dtype, params["weak_type"]) if plain else None


def _elementwise(name: str, ins: Sequence[Any], params: dict[str, Any]) -> Any:
    """The result's aval where all arguments are of one kind, or numbers beside one; None for anything else."""
    truths = name in _TRUTHS
    if (not truths and name not in _ALIKE) or params.get("out_dtype") is not None:
        return None
    first = ins[0].aval
    shape, dtype, weak = first.shape, first.dtype, first.weak_type
    if dtype.kind != "f":  # of which all of them make their own kind, and none refuses
        return None
    for v in ins[1:]:
        aval = v.aval
        if aval.dtype != dtype:
            return None
        if aval.shape != shape:
            if not shape:
                shape = aval.shape
            elif aval.shape:
                return None
        weak = weak and aval.weak_type
    if first.sharding is not None and not first.sharding.mesh.empty:
        return None
    return shaped(shape, _BOOL if truths else dtype, weak and not truths)
