"""A traced function as a list of NumPy functions to call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ..._ground._bounded import Bounded
from ..._ground._disk import jitted
from ..._ground._quiet import quietly
from .._equations import needed
from . import _elementwise, _picking, _reductions, _shapes, _windows
from ._elementwise import QUICK, STRETCHING, or_zero
from ._shapes import same, stretched

RULES = {
    **_elementwise.RULES, **_shapes.RULES, **_reductions.RULES, **_picking.RULES, **_windows.RULES,
}  # fmt: skip
NATIVE = "fiucb"  # kinds of dtypes that NumPy computes with
INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
INLINED = {
    "jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "remat",
    "remat2", "checkpoint", "custom_lin",
}  # fmt: skip
MOST_CALLS = 1024
_CALLS: Bounded = Bounded(MOST_CALLS)
MASKED = 256  # elements from which on a product is quicker than a branch
FOLDED = 65_536  # elements up to which a value that does not depend on the arguments is kept


class Kernel:
    """A function as a list of calls: `kernel(args)` gives a list of results.

    size: arguments, which take the first slots.  outs: slots of the results.
    rest: what the other slots hold at the start: constants, or None.  sizes: elements of what they will hold.
    code: rows for `perform`.  constants: by slot.
    """

    __slots__ = ("code", "constants", "outs", "rest", "size", "sizes")

    size: int
    outs: list[int]
    rest: list[Any]
    sizes: list[int]
    code: list[tuple]
    constants: dict[int, Any]

    def __call__(self, args: Sequence[Any]) -> list[Any]:
        env = [*args, *self.rest]
        perform(self.code, env)
        return [env[slot] for slot in self.outs]


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
        self.outs = self._inline(closed.jaxpr, closed.consts, list(range(self.size)))
        self.rest = [self.constants.get(self.size + k) for k in range(len(self.sizes))]

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
            slots[var] = self._constant(_host(value))
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
        return np.asarray(atom.val, atom.aval.dtype)

    def _called(self, eqn: Any, into: list[int]) -> list[int]:
        """Write the call of a function of NumPy's arrays."""
        out = self._slot(eqn.outvars[0].aval.size)
        self.code.append(row(eqn.params["host"], into, out))
        return [out]

    def _equation(self, eqn: Any, into: list[int], small: bool) -> list[int]:
        outvars = eqn.outvars
        if eqn.primitive.name == "select_n" and len(into) == 3:
            function, into = self._chosen(eqn, into)
        else:
            function = function_of(eqn, small)
        many = eqn.primitive.multiple_results
        if function is same:
            return into
        if function is None:
            self.calls += 1
            function, many = _jitted(eqn), True
        elif self._folds(into) and sum([v.aval.size for v in outvars]) <= FOLDED:
            made = quietly(function, *[self.constants[i] for i in into])
            return [self._constant(value) for value in (made if many else [made])]
        if not many:
            out = self._slot(outvars[0].aval.size)
            self.code.append(row(function, into, out))
            return [out]
        outs = [self._slot(getattr(v.aval, "size", 1)) for v in outvars]
        self.code.append(row(function, into, tuple(outs)))
        return outs

    def _chosen(self, eqn: Any, into: list[int]) -> tuple[Any, list[int]]:
        """The function of a choice, and what it reads: less where one side of it is zero."""
        out = eqn.outvars[0].aval
        if out.size >= MASKED and eqn.invars[0].aval.shape == out.shape:
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


def row(function: Callable[..., Any], into: Sequence[int], out: int | tuple[int, ...]) -> tuple:
    """A call for `perform`: a function, the slots of its arguments, the slot of its result (or slots, of several)."""
    if len(into) == 1:
        return function, into[0], -1, out
    if len(into) == 2:
        return function, into[0], into[1], out
    return function, tuple(into), -2, out


def perform(code: Iterable[tuple], env: list[Any]) -> None:
    """Make calls, one after the other, on the values in `env`."""
    for function, a, b, out in code:
        if b >= 0:
            made = function(env[a], env[b])
        elif b == -1:
            made = function(env[a])
        else:
            made = function(*[env[i] for i in a])
        if out.__class__ is int:
            env[out] = made
        else:
            for slot, value in zip(out, made, strict=True):
                env[slot] = value


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


def function_of(eqn: Any, small: bool) -> Callable[..., Any] | None:
    """The NumPy function of an equation; None where there is none."""
    quick = QUICK.get(eqn.primitive.name)
    if quick is not None and eqn.invars[0].aval.dtype.kind == "f" and eqn.params.get("accuracy") is None:
        return quick
    found = rule_for(eqn, small)
    if found is None:
        return None
    rule, params = found
    return rule([v.aval for v in eqn.invars], [v.aval for v in eqn.outvars], **params)


def rule_for(eqn: Any, small: bool) -> tuple[Any, dict[str, Any]] | None:
    """What makes the NumPy function of an equation, from avals of arguments and results, and its parameters."""
    for v in (*eqn.invars, *eqn.outvars):
        if getattr(getattr(v.aval, "dtype", None), "kind", "?") not in NATIVE:
            return None
    rule = _unstretched if small else RULES.get(eqn.primitive.name)
    return None if rule is None else (rule, _relevant(eqn))


def _unstretched(
    ins: Sequence[Any], outs: Sequence[Any], broadcast_dimensions: Any, **_: Any
) -> Callable[..., Any]:
    before = stretched(ins[0], outs[0].shape, broadcast_dimensions)
    return lambda x: x.reshape(before)


_IRRELEVANT = {"sharding", "out_sharding", "weak_type", "precision", "indices_are_sorted", "unique_indices",
               "update_consts"}  # fmt: skip


def _relevant(eqn: Any) -> dict[str, Any]:
    params = {k: v for k, v in eqn.params.items() if k not in _IRRELEVANT} if eqn.params else {}
    if params.get("accuracy", 0) is None:  # as good as there is: no wish
        del params["accuracy"]
    return params


def _host(value: Any) -> Any:
    dtype = getattr(value, "dtype", None)
    if dtype is not None and jax.numpy.issubdtype(dtype, jax.dtypes.extended):
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

    program = jitted(bind)

    def call(*args: Any) -> list[Any]:
        return [v if isinstance(v, jax.core.Tracer) else _host(v) for v in program(*args)]

    call.foreign = True  # type: ignore[attr-defined]
    return call


def clear() -> None:
    """Forget the jitted calls."""
    _CALLS.clear()
