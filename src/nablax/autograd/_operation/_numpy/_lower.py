"""A traced function as a list of NumPy functions to call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ..._ground._quiet import quietly
from .._equations import needed
from ._calls import Kernel, row
from ._compiled import compiled, host
from ._elementwise import STRETCHING, or_zero
from ._functions import function_of, quick_of
from ._shapes import same

INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
INLINED = {
    "jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "remat",
    "remat2", "checkpoint", "custom_lin",
}  # fmt: skip
MASKED = 256  # elements from which on a product is quicker than a branch
FOLDED = 65_536  # elements up to which a value that does not depend on the arguments is kept


class Lowered(Kernel):
    """A traced function as calls of NumPy.

    Arguments and results are NumPy's arrays or scalars; values that NumPy cannot hold (random keys) stay JAX's.
    Results may be views of arguments; arguments are never written to.
    """

    __slots__ = ("calls",)

    def __init__(self, closed: ClosedJaxpr) -> None:
        self.calls = 0  # of XLA
        self.code = []
        self.constants = {}
        self.size = len(closed.jaxpr.invars)
        self.sizes = []
        if self._at_once(closed.jaxpr):
            return
        self.outs = self._inline(closed.jaxpr, closed.consts, list(range(self.size)))
        self.rest = [self.constants.get(self.size + k) for k in range(len(self.sizes))]

    def _at_once(self, jaxpr: Any) -> bool:
        """Write one operation on each element of the arguments, which most functions are; whether that is all."""
        eqns = jaxpr.eqns
        if len(eqns) != 1 or len(jaxpr.outvars) != 1:
            return False
        eqn = eqns[0]
        if jaxpr.outvars[0] is not eqn.outvars[0] or jaxpr.invars != eqn.invars:
            return False
        function = quick_of(eqn)
        if function is None:
            return False
        self.code.append(row(function, range(self.size), self.size))
        self.sizes.append(math.prod(eqn.outvars[0].aval.shape))
        self.rest, self.outs = [None], [self.size]
        return True

    def _slot(self, size: int) -> int:
        self.sizes.append(size)
        return self.size + len(self.sizes) - 1

    def _constant(self, value: Any) -> int:
        slot = self._slot(0)
        self.constants[slot] = value
        return slot

    def _inline(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[int]) -> list[int]:
        """Write the equations of a jaxpr; the slots of its results."""
        slots: dict[Any, int] = dict(zip(jaxpr.invars, args, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            slots[var] = self._constant(host(value))
        eqns, outvars = jaxpr.eqns, jaxpr.outvars
        if len(eqns) > 1:
            eqns = needed(eqns, outvars)
        small = _shrinkable(eqns, outvars)
        for eqn in eqns:
            into = self._read(eqn.invars, slots)
            made, params = eqn.outvars, eqn.params
            if params.get("host") is not None:
                outs = self._called(eqn, into)
            elif eqn.primitive.name in INLINED:
                inner = next(params[key] for key in INNER if key in params)
                own = inner.consts if isinstance(inner, ClosedJaxpr) else ()
                outs = self._inline(getattr(inner, "jaxpr", inner), own, into)
            else:
                outs = self._equation(eqn, into, small is not None and bool(made) and made[0] in small)
            if len(outs) == 1:
                slots[made[0]] = outs[0]
            else:
                slots.update(zip(made, outs, strict=True))
        return self._read(outvars, slots)

    def _read(self, atoms: Sequence[Any], slots: dict[Any, int]) -> list[int]:
        """The slots of variables and literals."""
        found = []
        for atom in atoms:
            if atom.__class__ is Literal:
                found.append(self._constant(self._literal(atom)))
            else:
                found.append(slots[atom])
        return found

    def _literal(self, atom: Any) -> Any:
        return quietly(np.asarray, atom.val, atom.aval.dtype)

    def _called(self, eqn: Any, into: list[int]) -> list[int]:
        """Write the call of a function of NumPy's arrays."""
        out = self._slot(math.prod(eqn.outvars[0].aval.shape))
        self.code.append(row(eqn.params["host"], into, out))
        return [out]

    def _equation(self, eqn: Any, into: list[int], small: bool) -> list[int]:
        quick = quick_of(eqn)
        if quick is not None and not self._folds(into):
            out = self._slot(math.prod(eqn.outvars[0].aval.shape))
            self.code.append(row(quick, into, out))
            return [out]
        sizes = [math.prod(getattr(v.aval, "shape", ())) for v in eqn.outvars]
        if eqn.primitive.name == "select_n" and len(into) == 3:
            function, into = self._chosen(eqn, into)
        else:
            function = function_of(eqn, small)
        many = eqn.primitive.multiple_results
        if function is same and not small:
            return into
        if function is None:
            self.calls += 1
            function, many = compiled(eqn), True
        elif self._folds(into) and sum(sizes) <= FOLDED:
            made = quietly(function, *[self.constants[i] for i in into])
            return [self._constant(value) for value in (made if many else [made])]
        if not many:
            out = self._slot(sizes[0])
            self.code.append(row(function, into, out))
            return [out]
        outs = [*map(self._slot, sizes)]
        self.code.append(row(function, into, tuple(outs)))
        return outs

    def _chosen(self, eqn: Any, into: list[int]) -> tuple[Any, list[int]]:
        """The function of a choice, and what it reads: less where one side of it is zero."""
        out = eqn.outvars[0].aval
        if math.prod(out.shape) >= MASKED and eqn.invars[0].aval.shape == out.shape:
            for zero, other in ((1, 2), (2, 1)):
                value = self.constants.get(into[zero])
                if (
                    value is not None
                    and value.dtype.kind == "f"
                    and not value.view(f"u{value.itemsize}").any()
                ):
                    function = or_zero(out.dtype, other == 2)
                    if function is not None:
                        return function, [into[0], into[other]]
        return function_of(eqn, False), into

    def _folds(self, slots: Sequence[int]) -> bool:
        """Whether all of these hold constants."""
        constants = self.constants
        for slot in slots:  # noqa: SIM110 (a third of the price of `all`)
            if slot not in constants:
                return False
        return True


def _shrinkable(eqns: Sequence[Any], outvars: Sequence[Any]) -> set[Any] | None:
    """Results of broadcasts that only meet operations which broadcast by themselves, beside a full argument."""
    if len(eqns) < 2:
        return None
    made = {e.outvars[0]: e for e in eqns if e.primitive.name == "broadcast_in_dim" and len(e.invars) == 1}
    if not made:
        return None
    for var in outvars:
        if not isinstance(var, Literal):
            made.pop(var, None)
    for eqn in eqns:
        used = [v for v in eqn.invars if not isinstance(v, Literal) and v in made]
        if not used:
            continue
        full = eqn.primitive.name in STRETCHING and any(
            not isinstance(v, Literal) and v not in made and v.aval.shape == eqn.outvars[0].aval.shape
            for v in eqn.invars
        )
        if full:
            full = function_of(eqn, False) is not None
        if not full or any(v.aval.shape != eqn.outvars[0].aval.shape for v in used):
            for v in used:
                made.pop(v, None)
    return set(made)
