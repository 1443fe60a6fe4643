"""What works on each element is alike for all shapes: what was found out for arrays of one shape serves the others.

    written   { a:f32[16,5] b:f32[16,5]. c:f32[16,5] = mul a b; d:f32[16,5] = add c 1.0 }
    of 7      { a:f32[7] b:f32[7]. c:f32[7] = mul a b; d:f32[7] = add c 1.0 }

No parameter of such equations is a size, and NumPy's functions for them take any: only shapes of variables differ.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Literal, Var

from .._ground._aval import Aval, intern
from ._numpy import QUICK, Kernel
from ._writer import closed_of, shaped


def shape_of(avals: Sequence[Aval]) -> tuple[int, ...] | None:
    """The one shape of those that are not numbers; None where there are several, or none."""
    found: tuple[int, ...] | None = None
    for aval in avals:
        if aval.shape:
            if found is None:
                found = aval.shape
            elif found != aval.shape:
                return None
    return found


def kind_of(avals: Sequence[Aval]) -> Hashable:
    """What avals have in common that differ in that shape alone."""
    return tuple([(not a.shape, a.dtype, a.weak) for a in avals])


def each_element(closed: ClosedJaxpr, shape: tuple[int, ...]) -> bool:
    """Whether a function of arrays of this shape, and of numbers, computes every element of its results from the same
    elements of these arrays."""
    jaxpr = closed.jaxpr
    if jaxpr.constvars:
        return False
    for eqn in jaxpr.eqns:
        if (
            eqn.primitive.name not in QUICK
            or eqn.invars[0].aval.dtype.kind != "f"
            or eqn.params.get("accuracy") is not None
        ):
            return False
        whole = False
        for v in eqn.invars:
            if v.aval.shape:
                if v.__class__ is Literal:
                    return False
                whole = True
        if not whole:
            return False
    return all(v.__class__ is not Literal and v.aval.shape == shape for v in jaxpr.outvars)


def resized(aval: Aval, shape: tuple[int, ...]) -> Aval:
    """An aval with another shape, unless it is a number's."""
    return intern(shape, aval.dtype, aval.weak) if aval.shape else aval


def rewritten(closed: ClosedJaxpr, shape: tuple[int, ...]) -> ClosedJaxpr:
    """A function of each element for arrays of another shape."""
    atoms: dict[Any, Any] = {}

    def new(v: Any) -> Any:
        aval = v.aval
        atoms[v] = Var(shaped(shape if aval.shape else (), aval.dtype, aval.weak_type))
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


def kernel_of(kernel: Kernel, shape: tuple[int, ...]) -> Kernel:
    """The kernel of a function of each element for arrays of another shape: the same calls."""
    made, size = Kernel(), math.prod(shape)
    made.size, made.outs, made.rest = kernel.size, kernel.outs, kernel.rest
    made.code, made.constants = kernel.code, kernel.constants
    slots = range(kernel.size, kernel.size + len(kernel.sizes))
    made.sizes = [0 if slot in kernel.constants else size for slot in slots]
    return made
