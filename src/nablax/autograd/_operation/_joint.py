"""Forward and backward of one operation, from one trace.

`jax.vjp` is traced once, with the cotangents as equations without inputs. What the results depend on is the forward;
the rest is the pullback, which reads arguments, results and a few values more (the residuals) of the forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Literal, Primitive

from ._equations import needed
from ._general import Traced
from ._light import written
from ._numbers import CALLED
from ._writer import closed_of, shaped

COTANGENT = Primitive("cotangent")
COTANGENT.def_abstract_eval(lambda *, shape, dtype: jax.core.ShapedArray(shape, dtype))


class Joint(NamedTuple):
    """An operation's forward and pullback.

    forward: jaxpr of arguments -> results, residuals.  results, extra: how many of each.
    pull: jaxpr of the values named in `reads`, then cotangents of the results `given` (all that can carry one) ->
    gradients of the wanted arguments.
    reads: arguments (0, 1, ...), results (n, n + 1, ...) and residuals (after those), in one numbering.
    """

    forward: ClosedJaxpr
    results: int
    extra: int
    pull: ClosedJaxpr
    reads: tuple[int, ...]
    given: tuple[int, ...]


def trace(fn: Callable[..., Any], structs: Sequence[Any], wants: Sequence[int]) -> Traced:
    """A function, and what `split` needs for its pullback, in one jaxpr.

    Args:
      fn: of arrays.
      structs: of the arguments.
      wants: arguments whose gradients are asked for; none leaves the function alone.
    """
    if not wants:
        found = _lightly(fn, structs)
        if found is not None:
            return found
    trees: list[Any] = []
    carrying: list[int] = []

    def flat(*args: Any) -> list[Any]:
        leaves, tree = jax.tree.flatten(fn(*args))
        trees[:] = [tree]
        return leaves

    def both(*args: Any) -> list[Any]:
        def of(*wanted: Any) -> tuple[list[Any], list[Any]]:
            full = list(args)
            for i, value in zip(wants, wanted, strict=True):
                full[i] = value
            results = flat(*full)
            inexact = jax.numpy.inexact
            carrying[:] = [k for k, r in enumerate(results) if jax.numpy.issubdtype(r.dtype, inexact)]
            return [results[k] for k in carrying], results

        outs, pull, results = jax.vjp(of, *[args[i] for i in wants], has_aux=True)
        results = list(results)
        for k, out in zip(carrying, outs, strict=True):
            results[k] = out
        cts = [COTANGENT.bind(shape=out.shape, dtype=out.dtype) for out in outs]
        return [*results, *pull(cts)]

    closed = jax.make_jaxpr(both if wants else flat)(*structs)
    return Traced(closed, trees[0], tuple(carrying))


def unjitted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that JAX traces in one go, although it calls jitted ones: a trace within a trace takes its time."""

    def plain(*args: Any) -> Any:
        with jax.disable_jit():
            return fn(*args)

    return plain


def _lightly(fn: Callable[..., Any], structs: Sequence[Any]) -> Traced | None:
    """The function alone, traced lightly; None where that is not enough, or where the function fails: JAX says why."""
    trees: list[Any] = []

    def flat(*args: Any) -> list[Any]:
        leaves, tree = jax.tree.flatten(fn(*args))
        trees[:] = [tree]
        return leaves

    avals = [shaped(s.shape, s.dtype, bool(s.weak_type)) for s in structs]
    try:
        eqns, invars, outvars = written(flat, avals)
    except Exception:
        return None
    nested = any(e.primitive.name in CALLED for e in eqns)
    return Traced(closed_of(invars, outvars, eqns), trees[0], (), not nested)


def split(traced: Traced, again: bool) -> Joint:
    """The joint of a trace of both.

    again: let the pullback compute what it needs from the arguments alone, so that it can be differentiated in turn.
    """
    closed, n = traced.jaxpr, traced.tree.num_leaves
    eqns, outvars = closed.jaxpr.eqns, closed.jaxpr.outvars
    outs, grads = outvars[:n], outvars[n:]
    cts = [e.outvars[0] for e in eqns if e.primitive is COTANGENT]
    eqns = [e for e in eqns if e.primitive is not COTANGENT]
    front = needed(eqns, outs)
    inside = {id(e) for e in front}
    back = [e for e in needed(eqns, grads) if id(e) not in inside]
    only = closed_over(closed, closed.jaxpr.invars, outs, front)
    return joined(only, front, back, cts, grads, traced.given, again)


def joined(
    forward: ClosedJaxpr,
    front: Sequence[Any],
    back: Sequence[Any],
    cts: Sequence[Any],
    grads: Sequence[Any],
    given: tuple[int, ...],
    again: bool,
) -> Joint:
    """The joint of a forward and the equations of the way back.

    front: what makes values that the way back may read.  back: its own equations.
    cts: variables for the cotangents of the results `given`.  grads: what it makes.  again: as above.
    """
    jaxpr = forward.jaxpr
    invars, outs = jaxpr.invars, jaxpr.outvars
    size, n = len(invars), len(outs)
    places: dict[Any, int] = {v: i for i, v in enumerate(invars)}
    if again:
        back = needed([*front, *back], grads)
    else:
        for k, v in enumerate(outs):
            if v.__class__ is not Literal:
                places.setdefault(v, size + k)
    own = {*cts, *jaxpr.constvars}
    extra: list[Any] = []
    reads: dict[Any, int] = {}

    def read(atoms: Sequence[Any]) -> None:
        for v in atoms:
            if v.__class__ is not Literal and v not in own and v not in reads:
                place = places.get(v)
                if place is None:  # made on the way forward
                    place = places[v] = size + n + len(extra)
                    extra.append(v)
                reads[v] = place

    for e in back:
        read(e.invars)
        own.update(e.outvars)
    read(grads)
    if extra:
        full = [*outs, *extra]
        forward = closed_over(forward, invars, full, needed(front, full))
    pull = closed_over(forward, [*reads, *cts], grads, back)
    return Joint(forward, n, len(extra), pull, tuple(reads.values()), given)


def closed_over(
    closed: ClosedJaxpr, invars: Sequence[Any], outvars: Sequence[Any], eqns: Sequence[Any]
) -> Any:
    """A jaxpr of some of the equations of another, with its constants."""
    effects = {effect for e in eqns if e.effects for effect in e.effects}
    return closed_of(invars, outvars, eqns, closed.jaxpr.constvars, closed.consts, effects)
