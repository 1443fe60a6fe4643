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


def _elementwise(eqn: Any, ins: Sequence[int]) -> Any:
    """Arrays of one shape, and numbers; found out by `Shapes.of` itself, as most are such."""
    if eqn.invars[0].aval.dtype.kind != "f" or eqn.params.get("accuracy") is not None:
        return None
    return _ELEMENTWISE


def _product(eqn: Any, ins: Sequence[int]) -> Any:
    (over, batch), dtype = eqn.params["dimension_numbers"], eqn.outvars[0].aval.dtype
    alike = dtype.char in "fd" and all(v.aval.dtype == dtype for v in eqn.invars)
    if not alike or batch[0] or len(over[0]) != 1 or min(ins) < 0:
        return None
    (i,), (j,) = over

    def rule(a: Shape, b: Shape) -> Shape | None:
        return (a[1 - i], b[1 - j]) if len(a) == 2 == len(b) and a[i] == b[j] else None

    return rule


def _turned(eqn: Any, ins: Sequence[int]) -> Any:
    order = eqn.params["permutation"]
    return (
        (lambda a: tuple([a[i] for i in order]) if len(a) == len(order) else None) if min(ins) >= 0 else None
    )


_ELEMENTWISE = object()
_RULES = {**dict.fromkeys(QUICK, _elementwise), "dot_general": _product, "transpose": _turned}


class Shapes:
    """The shapes of all variables of a function, from those of its arguments: variables by number, the arguments first,
    then the results of its equations.

    outs: numbers of the results.  made: of what the equations make that are needed.
    """

    __slots__ = ("_steps", "made", "outs")

    def __init__(self, steps: list[tuple[Any, tuple[int, ...]]], outs: list[int], made: list[int]) -> None:
        self._steps, self.outs, self.made = steps, outs, made

    def of(self, given: Sequence[Shape]) -> list[Shape] | None:
        """All shapes; None where those of the arguments do not fit."""
        shapes = list(given)
        found: Shape | None
        for rule, ins in self._steps:
            if rule is _ELEMENTWISE:
                found = ()
                for i in ins:
                    shape = shapes[i]
                    if shape:
                        if found and shape != found:
                            return None
                        found = shape
                if not found:
                    return None
            else:
                found = rule(*[shapes[i] for i in ins])
                if found is None:
                    return None
            shapes.append(found)
        return shapes


def shapes_of(closed: ClosedJaxpr) -> Shapes | None:
    """What finds the shapes of a function's variables; None where sizes decide more."""
    jaxpr = closed.jaxpr
    if jaxpr.constvars:
        return None
    places = {v: i for i, v in enumerate(jaxpr.invars)}
    steps: list[tuple[Any, tuple[int, ...]]] = []
    for eqn in jaxpr.eqns:
        rule = _RULES.get(eqn.primitive.name)
        ins = [-1 if v.__class__ is Literal else places[v] for v in eqn.invars]
        if rule is None or any(i < 0 and v.aval.shape for i, v in zip(ins, eqn.invars, strict=True)):
            return None
        made = rule(eqn, ins)
        if made is None:
            return None
        places[eqn.outvars[0]] = len(places)
        steps.append((made, tuple([i for i in ins if i >= 0])))
    if any(v.__class__ is Literal for v in jaxpr.outvars):
        return None
    eqns = needed(jaxpr.eqns, jaxpr.outvars) if len(jaxpr.eqns) > 1 else jaxpr.eqns
    return Shapes(steps, [places[v] for v in jaxpr.outvars], [places[eqn.outvars[0]] for eqn in eqns])


def resized(aval: Aval, like: Aval) -> Aval:
    """An aval with the shape of another one."""
    if like.dtype == aval.dtype and like.weak == aval.weak:
        return like
    return intern(like.shape, aval.dtype, aval.weak)


def rewritten(closed: ClosedJaxpr, shapes: Sequence[Shape]) -> ClosedJaxpr:
    """The function with variables of these shapes."""
    atoms: dict[Any, Any] = {}

    def new(v: Any) -> Any:
        atoms[v] = Var(shaped(shapes[len(atoms)], v.aval.dtype, v.aval.weak_type))
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

    def __init__(self, model: Any, shapes: list[Shape]) -> None:
        self._model, self._shapes = model, shapes

    def traced(self) -> Traced:
        known = self._model.traced
        return known._replace(jaxpr=rewritten(known.jaxpr, self._shapes))

    def kernel(self) -> Kernel:
        model = self._model
        return kernel_of(model.kernel(), [math.prod(self._shapes[i]) for i in model.shapes.made])

    def joint(self, typed: Any, wants: tuple[int, ...], again: bool) -> tuple[Joint, Any] | None:
        joint, pull = self._model.joint(wants, again)
        if joint.extra or not pull.each:
            return None
        made = pull.resized(pulled(typed, joint, pull))
        return None if made is None else (joint, made)


def pulled(typed: Any, joint: Joint, pull: Any) -> tuple[Aval, ...]:
    """The avals of what the pullback of a function reads, which is `pull` for other shapes."""
    known = (*typed.args, *typed.avals)
    avals = [known[r] for r in joint.reads]
    avals += [typed.avals[k] for k in joint.given]
    return tuple([resized(a, b) for a, b in zip(pull.args, avals, strict=True)])


def kernel_of(kernel: Kernel, made: Sequence[int]) -> Kernel:
    """The kernel of a function with variables of other shapes: the same calls.

    made: the elements of what each of them makes.
    """
    new = Kernel()
    new.size, new.outs, new.rest = kernel.size, kernel.outs, kernel.rest
    new.code, new.constants = kernel.code, kernel.constants
    sizes = iter(made)
    slots = range(kernel.size, kernel.size + len(kernel.sizes))
    new.sizes = [0 if slot in kernel.constants else next(sizes) for slot in slots]
    return new
