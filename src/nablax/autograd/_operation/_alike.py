"""What no size decides is alike for all shapes: what was found out for arrays of some shapes serves the others.

    written   { a:f32[16,5] b:f32[16,5]. c:f32[16,5] = mul a b; d:f32[16,5] = add c 1.0 }
    of 7      { a:f32[7] b:f32[7]. c:f32[7] = mul a b; d:f32[7] = add c 1.0 }

No parameter of such equations is a size, and NumPy's functions for them take any: only shapes of variables differ. They
are operations on each element of arrays of one shape, products of two matrices, and axes in another order.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Literal, Var

from .._ground._aval import Aval, intern
from ._equations import needed
from ._general import Traced
from ._joint import Joint
from ._numpy import QUICK, Kernel
from ._writer import closed_of, shaped

Shape = tuple[int, ...]


def kind_of(avals: Sequence[Aval]) -> Hashable:
    """What avals have in common that differ in shapes alone."""
    return tuple([(not a.shape, a.dtype, a.weak) for a in avals])


def _elementwise(eqn: Any, shapes: Sequence[Shape]) -> Shape | None:
    """All of one shape, or numbers."""
    if eqn.invars[0].aval.dtype.kind != "f" or eqn.params.get("accuracy") is not None:
        return None
    found: Shape = ()
    for shape in shapes:
        if shape:
            if found and shape != found:
                return None
            found = shape
    return found or None


def _product(eqn: Any, shapes: Sequence[Shape]) -> Shape | None:
    (over, batch), (a, b) = eqn.params["dimension_numbers"], shapes
    if batch[0] or len(a) != 2 or len(b) != 2 or len(over[0]) != 1:
        return None
    (i,), (j,) = over
    dtype = eqn.outvars[0].aval.dtype
    alike = dtype.char in "fd" and all(v.aval.dtype == dtype for v in eqn.invars)
    return (a[1 - i], b[1 - j]) if alike and a[i] == b[j] else None


def _turned(eqn: Any, shapes: Sequence[Shape]) -> Shape | None:
    order = eqn.params["permutation"]
    return tuple([shapes[0][i] for i in order]) if len(shapes[0]) == len(order) else None


_RESULTS = {**dict.fromkeys(QUICK, _elementwise), "dot_general": _product, "transpose": _turned}


def shapes_of(closed: ClosedJaxpr, given: Sequence[Shape]) -> dict[Any, Shape] | None:
    """The shapes of all variables, from those of the arguments; None where sizes decide more, or do not fit."""
    jaxpr = closed.jaxpr
    if jaxpr.constvars:
        return None
    shapes: dict[Any, Shape] = dict(zip(jaxpr.invars, given, strict=True))
    for eqn in jaxpr.eqns:
        rule = _RESULTS.get(eqn.primitive.name)
        if rule is None:
            return None
        entering = []
        for v in eqn.invars:
            shape = v.aval.shape
            if v.__class__ is not Literal:
                shape = shapes[v]
            elif shape:
                return None
            entering.append(shape)
        made = rule(eqn, entering)
        if made is None:
            return None
        shapes[eqn.outvars[0]] = made
    return None if any(v.__class__ is Literal for v in jaxpr.outvars) else shapes


def resized(aval: Aval, shape: Shape) -> Aval:
    """An aval with another shape."""
    return intern(shape, aval.dtype, aval.weak)


def rewritten(closed: ClosedJaxpr, shapes: dict[Any, Shape]) -> ClosedJaxpr:
    """The function with variables of these shapes."""
    atoms: dict[Any, Any] = {}

    def new(v: Any) -> Any:
        atoms[v] = Var(shaped(shapes[v], v.aval.dtype, v.aval.weak_type))
        return atoms[v]

    def read(v: Any) -> Any:
        return v if v.__class__ is Literal else atoms[v]

    jaxpr = closed.jaxpr
    invars = [new(v) for v in jaxpr.invars]
    eqns = [
        eqn.replace(invars=[read(v) for v in eqn.invars], outvars=[new(v) for v in eqn.outvars])
        for eqn in jaxpr.eqns
    ]
    return closed_of(invars, [read(v) for v in jaxpr.outvars], eqns)


class Alike:
    """Says what is asked of a `Typed` for which another one serves, `model` (see there).

    shapes: of the variables.
    """

    __slots__ = ("_model", "_shapes")

    def __init__(self, model: Any, shapes: dict[Any, Shape]) -> None:
        self._model, self._shapes = model, shapes

    def traced(self) -> Traced:
        known = self._model.traced
        return known._replace(jaxpr=rewritten(known.jaxpr, self._shapes))

    def kernel(self) -> Kernel:
        return kernel_of(self._model.kernel(), self._model.traced.jaxpr, self._shapes)

    def joint(self, typed: Any, wants: tuple[int, ...], again: bool) -> tuple[Joint, Any] | None:
        joint, pull = self._model.joint(wants, again)
        if joint.extra or not pull.each:
            return None
        known = (*typed.args, *typed.avals)
        avals = [*[known[r] for r in joint.reads], *[typed.avals[k] for k in joint.given]]
        made = pull.resized(tuple([resized(a, b.shape) for a, b in zip(pull.args, avals, strict=True)]))
        return None if made is None else (joint, made)


def kernel_of(kernel: Kernel, closed: ClosedJaxpr, shapes: dict[Any, Shape]) -> Kernel:
    """The kernel of a function with variables of other shapes: the same calls."""
    jaxpr = closed.jaxpr
    made = Kernel()
    made.size, made.outs, made.rest = kernel.size, kernel.outs, kernel.rest
    made.code, made.constants = kernel.code, kernel.constants
    eqns = needed(jaxpr.eqns, jaxpr.outvars) if len(jaxpr.eqns) > 1 else jaxpr.eqns
    sizes = iter([math.prod(shapes[eqn.outvars[0]]) for eqn in eqns])
    slots = range(kernel.size, kernel.size + len(kernel.sizes))
    made.sizes = [0 if slot in kernel.constants else next(sizes) for slot in slots]
    return made
