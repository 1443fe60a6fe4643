"""Pullbacks of reductions and of products of matrices."""

from __future__ import annotations

from typing import Any

from jax import lax

from .._writer import Atom, Writer, inverse
from ._elementwise import Pull


def _repeated(w: Writer, x: Atom, shape: tuple[int, ...], axes: Any) -> Atom:
    """What was reduced over `axes`, along them again."""
    return w.broadcast(x, shape, tuple([k for k in range(len(shape)) if k not in axes]))


def _sum(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    return _repeated(w, ct, eqn.invars[0].aval.shape, eqn.params["axes"])


def _extreme(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    """To the largest (smallest); equal ones share."""
    (x,), (out,), axes = eqn.invars, eqn.outvars, tuple(eqn.params["axes"])
    shape = x.aval.shape
    there = w.convert(w.compare(lax.eq_p, x, _repeated(w, out, shape, axes)), ct.aval.dtype)
    return w.mul(there, _repeated(w, w.div(ct, w.sum(there, axes)), shape, axes))


def _cumsum(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    return w.unary(lax.cumsum_p, ct, **{**eqn.params, "reverse": not eqn.params["reverse"]})


def _dot(w: Writer, eqn: Any, ct: Atom, i: int) -> Any:
    """For c = sum_k a[i, k] b[k, j]: the sum over j of c and b, and the sum over i of a and c."""
    over, batch = eqn.params["dimension_numbers"]
    mine, other = eqn.invars[i], eqn.invars[1 - i]
    n = len(batch[0])
    # Most are of two matrices.
    if not n and len(over[0]) == 1 and len(mine.aval.shape) == len(other.aval.shape) == 2:
        ((k,), (m,)) = over[i], over[1 - i]
        if i == 0:
            made = w.dot(ct, other, ((1,), (1 - m,)), dtype=ct.aval.dtype)
        else:
            made = w.dot(other, ct, ((1 - m,), (0,)), dtype=ct.aval.dtype)
        return w.convert(made if k == 1 - i else w.transpose(made, (1, 0)), mine.aval.dtype)
    free = [
        [k for k in range(x.aval.ndim) if k not in over[j] and k not in batch[j]]
        for j, x in enumerate(eqn.invars)
    ]
    places = [range(n, n + len(free[0])), range(n + len(free[0]), ct.aval.ndim)]  # in the result
    summed, dtype = (tuple(places[1 - i]), tuple(free[1 - i])), mine.aval.dtype
    at = (tuple(range(n)), tuple(batch[1 - i]))
    # The result has the axes of a batch, then those of its two factors in their order; each is brought to its place.
    known = sorted(over[1 - i])
    summed_over = [over[i][over[1 - i].index(k)] for k in known]
    if i == 0:
        made = w.dot(ct, other, summed, at, ct.aval.dtype)
        lies = [*batch[i], *free[i], *summed_over]
    else:
        made = w.dot(other, ct, summed[::-1], at[::-1], ct.aval.dtype)
        lies = [*batch[i], *summed_over, *free[i]]
    return w.convert(w.transpose(made, inverse(lies)), dtype)


PULLS: dict[str, Pull] = {
    "reduce_sum": _sum, "reduce_max": _extreme, "reduce_min": _extreme, "cumsum": _cumsum, "dot_general": _dot,
}  # fmt: skip
