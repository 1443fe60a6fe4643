"""A traced function as a list of NumPy functions to call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ..._ground._bounded import Bounded
from . import _elementwise, _picking, _reductions, _shapes
from ._elementwise import STRETCHING
from ._shapes import stretched

RULES = {**_elementwise.RULES, **_shapes.RULES, **_reductions.RULES, **_picking.RULES}
NATIVE = "fiucb"  # kinds of dtypes that NumPy computes with
INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
INLINED = {
    "jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "remat",
    "remat2", "checkpoint", "custom_lin",
}  # fmt: skip
MOST_CALLS = 1024
_CALLS: Bounded = Bounded(MOST_CALLS)
FOLDED = 65_536  # elements up to which a value that does not depend on the arguments is kept


def lower(closed: ClosedJaxpr) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """A function of the arguments as a list, which gives the results as a list.

    Arguments and results are NumPy's arrays or scalars; values that NumPy cannot hold (random keys) stay JAX's.
    Results may be views of arguments; arguments are never written to.
    """
    return _Lowering(closed).function()


def missing(closed: ClosedJaxpr) -> int:
    """How many elementary operations are jitted calls."""
    return _Lowering(closed).calls


class _Lowering:
    def __init__(self, closed: ClosedJaxpr) -> None:
        self.calls = 0
        self.code: list[tuple] = []
        self.constants: dict[int, Any] = {}
        self.size = len(closed.jaxpr.invars)
        self.many = self.size
        self.outs = self._inline(closed.jaxpr, closed.consts, list(range(self.size)))

    def _slot(self) -> int:
        self.many += 1
        return self.many - 1

    def _constant(self, value: Any) -> int:
        slot = self._slot()
        self.constants[slot] = value
        return slot

    def _inline(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[int]) -> list[int]:
        """Write the equations of a jaxpr; the slots of its results."""
        slots: dict[Any, int] = dict(zip(jaxpr.invars, args, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            slots[var] = self._constant(_host(value))
        eqns = list(_needed(jaxpr))
        small = _shrinkable(eqns, jaxpr.outvars)

        def read(atom: Any) -> int:
            if isinstance(atom, Literal):
                return self._constant(np.asarray(atom.val, atom.aval.dtype))  # type: ignore[attr-defined]
            return slots[atom]

        for eqn in eqns:
            into = [read(atom) for atom in eqn.invars]
            if eqn.primitive.name in INLINED:
                inner = next(eqn.params[key] for key in INNER if key in eqn.params)
                own = inner.consts if isinstance(inner, ClosedJaxpr) else ()
                outs = self._inline(getattr(inner, "jaxpr", inner), own, into)
            else:
                outs = self._equation(eqn, into, bool(eqn.outvars) and eqn.outvars[0] in small)
            slots.update(zip(eqn.outvars, outs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, eqn: Any, into: list[int], small: bool) -> list[int]:
        function = _function(eqn, small)
        many = eqn.primitive.multiple_results
        if function is None:
            self.calls += 1
            function, many = _jitted(eqn), True
        elif all(i in self.constants for i in into) and sum(v.aval.size for v in eqn.outvars) <= FOLDED:
            with np.errstate(all="ignore"):
                made = function(*[self.constants[i] for i in into])
            return [self._constant(value) for value in (made if many else [made])]
        outs = [self._slot() for _ in eqn.outvars]
        self.code.append((function, tuple(into), tuple(outs) if many else outs[0], many))
        return outs

    def function(self) -> Callable[[Sequence[Any]], Sequence[Any]]:
        code, outs, size = self.code, self.outs, self.size
        if len(code) == 1 and not code[0][3] and code[0][1] == tuple(range(size)) and outs == [code[0][2]]:
            single = code[0][0]
            return lambda args: (single(*args),)
        rest: list[Any] = [self.constants.get(i) for i in range(size, self.many)]
        if all(not many for *_, many in code):
            short = [row[:3] for row in code]

            def run_single(args: Sequence[Any]) -> Sequence[Any]:
                env = [*args, *rest]
                for function, into, out in short:
                    env[out] = function(*[env[i] for i in into])
                return [env[i] for i in outs]

            return run_single

        def run(args: Sequence[Any]) -> Sequence[Any]:
            env = [*args, *rest]
            for function, into, out, many in code:
                made = function(*[env[i] for i in into])
                if many:
                    for slot, value in zip(out, made, strict=True):
                        env[slot] = value
                else:
                    env[out] = made
            return [env[i] for i in outs]

        return run


def _needed(jaxpr: Any) -> Iterator[Any]:
    wanted = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if eqn.effects or any(v in wanted for v in eqn.outvars):
            kept.append(eqn)
            wanted.update(v for v in eqn.invars if not isinstance(v, Literal))
    return reversed(kept)


def _shrinkable(eqns: Sequence[Any], outvars: Sequence[Any]) -> set[Any]:
    """Results of broadcasts that only meet operations which broadcast by themselves, beside a full argument."""
    made = {e.outvars[0]: e for e in eqns if e.primitive.name == "broadcast_in_dim" and len(e.invars) == 1}
    if not made:
        return made.keys()  # type: ignore[return-value]
    for var in outvars:
        if not isinstance(var, Literal):
            made.pop(var, None)
    for eqn in eqns:
        used = [v for v in eqn.invars if not isinstance(v, Literal) and v in made]
        if not used:
            continue
        full = eqn.primitive.name in STRETCHING and any(
            isinstance(v, Literal) is False and v not in made and v.aval.shape == eqn.outvars[0].aval.shape
            for v in eqn.invars
        )
        if full:
            full = _function(eqn, False) is not None
        if not full or any(v.aval.shape != eqn.outvars[0].aval.shape for v in used):
            for v in used:
                made.pop(v, None)
    return set(made)


def _function(eqn: Any, small: bool) -> Callable[..., Any] | None:
    """The NumPy function of an equation; None where there is none."""
    ins = [v.aval for v in eqn.invars]
    outs = [v.aval for v in eqn.outvars]
    if any(getattr(getattr(a, "dtype", None), "kind", "?") not in NATIVE for a in (*ins, *outs)):
        return None
    if small:
        before = stretched(ins[0], outs[0].shape, eqn.params["broadcast_dimensions"])
        return lambda x: x.reshape(before)
    rule: Any = RULES.get(eqn.primitive.name)
    return None if rule is None else rule(ins, outs, **_relevant(eqn))


_IRRELEVANT = {"sharding", "out_sharding", "weak_type", "precision", "indices_are_sorted", "unique_indices",
               "update_consts", "accuracy"}  # fmt: skip


def _relevant(eqn: Any) -> dict[str, Any]:
    return {
        k: v for k, v in eqn.params.items() if k not in _IRRELEVANT or (k == "accuracy" and v is not None)
    }


def _host(value: Any) -> Any:
    dtype = getattr(value, "dtype", None)
    if dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.extended):
        return value
    return np.asarray(value)


def _jitted(eqn: Any) -> Callable[..., list[Any]]:
    """An equation as a compiled program of its own."""
    kinds = tuple((v.aval.shape, v.aval.dtype, bool(getattr(v.aval, "weak_type", False))) for v in eqn.invars)
    key: Any = (eqn.primitive, tuple(sorted(eqn.params.items())), kinds)
    try:
        found = _CALLS.get(key)
    except TypeError:  # a parameter without a hash
        return _program(eqn)
    if found is None:
        found = _CALLS[key] = _program(eqn)
    return found


def _program(eqn: Any) -> Callable[..., list[Any]]:
    def bind(*args: Any) -> list[Any]:
        made = eqn.primitive.bind(*args, **eqn.params)
        return list(made) if eqn.primitive.multiple_results else [made]

    program = jax.jit(bind)
    return lambda *args: [v if isinstance(v, jax.core.Tracer) else _host(v) for v in program(*args)]


def clear() -> None:
    """Forget the jitted calls."""
    _CALLS.clear()
