"""Numbers in the place of the letters that a trace has for sizes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import export
from jax.extend.core import ClosedJaxpr, Literal

CALLED = ("jit", "pjit")
LETTERS = "abcdefghijklmnop"


@functools.lru_cache(4096)
def _formula(text: str) -> Any:
    return compile(text.replace("^", "**"), "<size>", "eval")


_FUNCTIONS = {"floordiv": lambda a, b: a // b, "mod": lambda a, b: a % b, "max": max, "min": min}


class Numbers:
    """Puts numbers in the place of letters."""

    def __init__(self, sizes: Sequence[int]):
        self._scope = {**_FUNCTIONS, **dict(zip(LETTERS, sizes, strict=False))}
        self._known: dict[Any, int] = {}
        self._avals: dict[int, Any] = {}

    def size(self, dim: Any) -> int:
        if isinstance(dim, int):
            return dim
        found = self._known.get(id(dim))  # which lives as long as the jaxpr does
        if found is None:
            found = eval(_formula(str(dim)), {"__builtins__": {}}, self._scope)
            self._known[id(dim)] = found = int(found)
        return found

    def of(self, value: Any) -> Any:
        """A parameter of an equation, with numbers."""
        if value is None or isinstance(value, bool | int | str | np.dtype | type):
            return value
        if isinstance(value, tuple):
            made = [self.of(v) for v in value]
            return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
        if isinstance(value, ClosedJaxpr):
            return ClosedJaxpr(self.jaxpr(value.jaxpr), value.consts)
        if hasattr(value, "eqns"):
            return self.jaxpr(value)
        if isinstance(value, jax.core.ShapedArray):
            return self.aval(value)
        if isinstance(value, list):
            return [self.of(v) for v in value]
        return self.size(value) if export.is_symbolic_dim(value) else value

    def aval(self, aval: Any) -> Any:
        found = self._avals.get(id(aval))
        if found is None:
            shape = getattr(aval, "shape", ())
            changed = any(not isinstance(n, int) for n in shape)
            found = aval.update(shape=tuple(map(self.size, shape))) if changed else aval
            self._avals[id(aval)] = found
        return found

    def jaxpr(self, jaxpr: Any) -> Any:
        """A jaxpr with numbers, and with the equations of functions that are called in the place of the calls."""
        atoms: dict[Any, Any] = {}
        invars, constvars = self._new(jaxpr.invars, atoms), self._new(jaxpr.constvars, atoms)
        eqns: list[Any] = []
        outvars = self._write(jaxpr, atoms, eqns)
        return jaxpr.replace(invars=invars, constvars=constvars, eqns=eqns, outvars=outvars)

    def _new(self, variables: Sequence[Any], atoms: dict[Any, Any]) -> list[Any]:
        made = [type(var)(self.aval(var.aval)) for var in variables]
        atoms.update(zip(variables, made, strict=True))
        return made

    def _write(self, jaxpr: Any, atoms: dict[Any, Any], eqns: list[Any]) -> list[Any]:
        """Write the equations of a jaxpr; the atoms of its results."""

        def read(atom: Any) -> Any:
            return atom if isinstance(atom, Literal) else atoms[atom]

        for eqn in jaxpr.eqns:
            name = eqn.primitive.name
            ins = [read(atom) for atom in eqn.invars]
            if name == "dim_as_value":
                aval = eqn.outvars[0].aval
                atoms[eqn.outvars[0]] = _literal(self.size(eqn.params["dim"]), aval)
            elif name == "convert_element_type" and isinstance(ins[0], Literal):
                atoms[eqn.outvars[0]] = _literal(ins[0].val, eqn.outvars[0].aval)
            elif name in CALLED and not eqn.params["jaxpr"].consts:
                inner = eqn.params["jaxpr"].jaxpr
                outs = self._write(inner, dict(zip(inner.invars, ins, strict=True)), eqns)
                atoms.update(zip(eqn.outvars, outs, strict=True))
            else:
                params = {k: self.of(v) for k, v in eqn.params.items()}
                eqns.append(eqn.replace(invars=ins, outvars=self._new(eqn.outvars, atoms), params=params))
        return [read(v) for v in jaxpr.outvars]


def _literal(value: Any, aval: Any) -> Any:
    return Literal(np.asarray(value, aval.dtype)[()], aval)
