"""The reverse sweep over the equations of a traced function: forward and backward, without tracing the backward, which
takes JAX ten times as long as the forward.

Where an equation has no rule (_pullbacks/), JAX's `vjp` of that one equation is traced and takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, Var, jaxpr_as_fun

from ._custom import CUSTOM
from ._equations import named, needed, renamed
from ._general import Traced
from ._joint import COTANGENT, Joint, closed_over, joined, trace
from ._light import written
from ._pullbacks import FLAT, PULLS
from ._pullbacks._elementwise import Pull
from ._writer import Atom, Writer, closed_of, shaped


class Left(Exception):
    """Complex numbers, side effects, or a way back that reads tangents: the whole function is left to JAX."""


class Back(NamedTuple):
    """The way back through one equation, written already.

    cts: variables that stand for the cotangents of its results.  eqns: the equations.
    grads: cotangents of its arguments, by number; None where there is none.
    """

    cts: list[Any]
    eqns: list[Any]
    grads: dict[int, Any]


class Rule(NamedTuple):
    """The way back through one equation with one result, to be written when the cotangent is known.

    pull: of writer, equation and cotangent: cotangents of its arguments, by number.
    """

    pull: Callable[[Writer, Any, Atom], dict[int, Any]]


class Refused(Exception):
    """A rule leaves an equation to JAX."""


class Sweep(NamedTuple):
    """Forward and backward of a function.

    front: equations of the forward.  back: those of the backward.
    cts: variables for the cotangents of the results `given`.  grads: of the wanted arguments.
    """

    front: list[Any]
    back: list[Any]
    cts: list[Any]
    given: tuple[int, ...]
    grads: list[Any]


def joint_of(forward: Traced, wants: Sequence[int], again: bool) -> Joint:
    """The joint (see `_joint.split`) of a function whose forward was traced.

    Raises:
      Left: see there.
    """
    found = _swept(forward.jaxpr, wants)
    back = needed(found.back, found.grads)
    return joined(forward.jaxpr, found.front, back, found.cts, found.grads, found.given, again)


def reversed_of(forward: Traced, wants: Sequence[int]) -> Traced:
    """Forward and backward of a function whose forward was traced, in one jaxpr, as `_joint.trace` makes it.

    Raises:
      Left: see there.
    """
    found = _swept(forward.jaxpr, wants)
    w = Writer(found.front)
    for ct in found.cts:
        w.into(ct, COTANGENT, (), shape=ct.aval.shape, dtype=ct.aval.dtype)
    jaxpr = forward.jaxpr.jaxpr
    closed = closed_over(forward.jaxpr, jaxpr.invars, [*jaxpr.outvars, *found.grads], [*w.eqns, *found.back])
    return Traced(closed, forward.tree, found.given)


def _swept(closed: Any, wants: Sequence[int]) -> Sweep:
    jaxpr = closed.jaxpr
    if jaxpr.effects:
        raise Left
    if _complex(jaxpr.invars):
        raise Left
    refused: set[int] = set()  # equations whose rules do not say it all
    while True:
        try:
            return _reversed(jaxpr, wants, refused)
        except Refused as equation:
            refused.add(equation.args[0])


def _reversed(jaxpr: Any, wants: Sequence[int], refused: set[int]) -> Sweep:
    front, w = Writer(), Writer()
    wanted = [jaxpr.invars[i] for i in wants]
    active: set[Any] = set(wanted)
    steps = [_forward(front, eqn, active, refused) for eqn in jaxpr.eqns]
    given: list[int] = []
    starts: list[Any] = []
    cts: dict[Any, Any] = {}

    def add(var: Any, ct: Atom | None) -> None:
        if ct is not None and var in active:
            cts[var] = w.add(cts[var], ct) if var in cts else ct

    for k, v in enumerate(jaxpr.outvars):
        if _inexact(v):
            given.append(k)
            starts.append(Var(shaped(v.aval.shape, v.aval.dtype)))
            if v.__class__ is not Literal:
                add(v, starts[-1])
    for eqn, back in zip(reversed(jaxpr.eqns), reversed(steps), strict=True):
        if back is None:
            continue
        if back.__class__ is Rule:
            ct = cts.get(eqn.outvars[0])
            if ct is None:
                continue
            found = back.pull(w, eqn, ct)
        elif any(v in cts for v in eqn.outvars):
            found = _backward(w, back, [cts.get(v) for v in eqn.outvars])
        else:
            continue
        for i, grad in found.items():
            if eqn.invars[i].__class__ is not Literal:
                add(eqn.invars[i], grad)
    grads = [cts[v] if v in cts else w.full(v.aval.shape, 0, v.aval.dtype) for v in wanted]
    return Sweep(front.eqns, w.eqns, starts, tuple(given), grads)


def _inexact(v: Any) -> bool:
    dtype = v.aval.dtype
    return getattr(dtype, "kind", "?") == "f" or bool(jnp.issubdtype(dtype, jnp.inexact))


def _complex(atoms: Sequence[Any]) -> bool:
    return "c" in [getattr(v.aval.dtype, "kind", "?") for v in atoms]


def _forward(w: Writer, eqn: Any, active: set[Any], refused: set[int]) -> Back | Rule | None:
    """Write an equation; the way back through it, where gradients flow."""
    wanted = [i for i, v in enumerate(eqn.invars) if v.__class__ is not Literal and v in active]
    carrying = [v for v in eqn.outvars if _inexact(v)] if wanted else ()
    if not carrying or eqn.primitive.name in FLAT:
        w.eqns.append(eqn)
        return None
    if _complex(eqn.invars) or _complex(carrying):
        raise Left
    active.update(carrying)
    if eqn.primitive is CUSTOM:
        w.eqns.append(eqn)
        pull = eqn.params["pull"]
        return _by_tangents(eqn, wanted) if pull is None else Rule(pull)
    rule = PULLS.get(eqn.primitive.name)
    if rule is None or id(eqn) in refused:
        return _by_jax(w, eqn, wanted)
    w.eqns.append(eqn)
    return Rule(partial(_by_rule, rule, wanted))


def _by_rule(rule: Pull, wanted: list[int], w: Writer, eqn: Any, ct: Atom) -> dict[int, Any]:
    grads = {}
    for i in wanted:
        grad = grads[i] = rule(w, eqn, ct, i)
        if grad is NotImplemented:
            raise Refused(id(eqn))
    return grads


def _by_jax(w: Writer, eqn: Any, wanted: list[int]) -> Back:
    """The same for an equation without a rule."""
    ins, wants = _own(eqn, wanted)
    structs = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in ins]
    traced = trace(jaxpr_as_fun(closed_of(ins, eqn.outvars, [eqn])), structs, wants)
    whole = Writer()
    outs = whole.splice(traced.jaxpr, ins)
    results, grads = outs[: len(eqn.outvars)], outs[len(eqn.outvars) :]
    if any(isinstance(v, Literal) for v in results) or len({*results, *ins}) < len(results) + len(ins):
        raise Left  # a result that is an argument, or another result
    names = dict(zip(results, eqn.outvars, strict=True))
    forward = needed(whole.eqns, results)
    inside = {id(e) for e in forward}
    w.eqns += [renamed(e, names) for e in forward]
    backward = [renamed(e, names) for e in whole.eqns if id(e) not in inside]
    places = [eqn.invars.index(ins[at]) for at in wants]
    return _back(
        eqn, backward, traced.given, dict(zip(places, [named(g, names) for g in grads], strict=True))
    )


def _by_tangents(eqn: Any, wanted: list[int]) -> Back:
    """The way back through a function that says what its tangents are: through what these are computed by."""
    n = len(eqn.invars)
    avals = [v.aval for v in eqn.invars]
    eqns, args, outs = written(eqn.params["jvp"], [*avals, *avals])
    tangents = Traced(closed_of(args, outs[len(eqn.outvars) :], eqns), None, ())
    sweep = reversed_of(tangents, [n + i for i in wanted])
    back = Writer()
    found = back.splice(sweep.jaxpr, [*eqn.invars, *args[n:]])[len(eqn.outvars) :]
    made = _back(eqn, back.eqns, sweep.given, dict(zip(wanted, found, strict=True)))
    if {v for e in made.eqns for v in e.invars if isinstance(v, Var)} & set(args[n:]):
        raise Left  # what JAX traced of a linear solve, say, computes it for the tangents, too
    return made


def _own(eqn: Any, wanted: list[int]) -> tuple[list[Any], list[int]]:
    """The variables that an equation reads, each once, and which of them are wanted."""
    ins = list(dict.fromkeys(v for v in eqn.invars if isinstance(v, Var)))
    return ins, sorted({ins.index(eqn.invars[i]) for i in wanted})


def _back(eqn: Any, eqns: list[Any], given: tuple[int, ...], grads: dict[int, Any]) -> Back:
    """The way back, from equations among which are cotangents of the results `given`."""
    made = [e.outvars[0] for e in eqns if e.primitive is COTANGENT]
    cts: list[Any] = [None] * len(eqn.outvars)
    for k, var in zip(given, made, strict=True):
        cts[k] = var
    kept = [e for e in needed(eqns, list(grads.values())) if e.primitive is not COTANGENT]
    return Back(cts, kept, grads)


def _backward(w: Writer, back: Back, cts: list[Any]) -> dict[int, Any]:
    """Write the way back, for given cotangents of the results (None: zero)."""
    places = {}
    for var, ct in zip(back.cts, cts, strict=True):
        if var is not None:
            places[var] = w.full(var.aval.shape, 0, var.aval.dtype) if ct is None else ct
    for eqn in back.eqns:
        w.eqns.append(renamed(eqn, places))
    return {i: named(grad, places) for i, grad in back.grads.items()}
