"""Forward and backward of one operation, from one trace.

`jax.vjp` is traced once, with the cotangents as equations without inputs. What the results depend on is the forward;
the rest is the pullback, which reads arguments, results and a few values more (the residuals) of the forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Literal, Primitive, Var

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
    """The joint of a trace.

    again: let the pullback compute what it needs from the arguments alone, so that it can be differentiated in turn.
    """
    closed, given, n = traced.jaxpr, traced.given, traced.tree.num_leaves
    jaxpr = closed.jaxpr
    outs, grads = jaxpr.outvars[:n], jaxpr.outvars[n:]
    forward = needed(jaxpr.eqns, outs)
    inside = set() if again else {id(e) for e in forward}
    backward = [e for e in needed(jaxpr.eqns, grads) if id(e) not in inside]
    cts = [e.outvars[0] for e in jaxpr.eqns if e.primitive is COTANGENT]
    backward = [e for e in backward if e.primitive is not COTANGENT]

    places: dict[Any, int] = {}
    for i, v in enumerate(jaxpr.invars):
        places.setdefault(v, i)
    for k, v in enumerate(() if again else outs):
        if isinstance(v, Var):
            places.setdefault(v, len(jaxpr.invars) + k)
    made = set() if again else {v for e in forward for v in e.outvars}
    extra: list[Any] = []
    reads: dict[Any, int] = {}
    constants = set(jaxpr.constvars)
    for v in [v for e in backward for v in e.invars] + list(grads):
        if isinstance(v, Literal) or v in reads or v in constants:
            continue
        if v not in places:
            if v not in made:
                continue  # made by the backward itself
            places[v] = len(jaxpr.invars) + n + len(extra)
            extra.append(v)
        reads[v] = places[v]
    return Joint(
        closed_over(closed, jaxpr.invars, [*outs, *extra], forward),
        n,
        len(extra),
        closed_over(closed, [*reads, *cts], grads, backward),
        tuple(reads.values()),
        given,
    )


def closed_over(closed: ClosedJaxpr, invars: Sequence[Any], outvars: Sequence[Any], eqns: list[Any]) -> Any:
    """A jaxpr of some of the equations of another, with its constants."""
    effects = {effect for e in eqns if e.effects for effect in e.effects}
    return closed_of(invars, outvars, eqns, closed.jaxpr.constvars, closed.consts, effects)
