"""Whether a transformation treats all entries of the parameters alike, in whatever arrays: proved, not trusted.

Its update is traced on two leaves of different shapes, and followed equation by equation. An entry of a leaf may meet
entries of the same place and scalars; a sum, maximum or minimum over a leaf may only be joined with those of all other
leaves. In the end what happened to one leaf must be what happened to the other. Then joining leaves to one vector
changes nothing (but the order in which sums over all leaves are added up).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from nablax.core._base import with_extra_args_support

SHAPES = ((2, 3), (5,))
_JOINS = {
    "reduce_sum": "add",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
}
CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "remat2",
    "checkpoint",
)
_NAMES = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp complex conj convert_element_type copy
    cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow is_finite le lgamma log log1p
    logistic lt max min mul ne neg nextafter not optimization_barrier or pow real reduce_precision rem round rsqrt
    select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor
"""
ENTRYWISE = frozenset(_NAMES.split())


class Refused(Exception):
    """The update is not the same for every entry; the message says why."""


class _Value(NamedTuple):
    """What is known about a value.

    made: how it was made, without the leaf's number; equal values were made alike.
    leaf: the leaf whose entries it has, or None for a scalar.
    join: of a scalar that holds a part of the leaves, how parts are joined.
    of: those leaves.
    """

    made: Any
    leaf: int | None = None
    join: str = ""
    of: frozenset[int] = frozenset()


def check_elementwise(tx: Any, dtype: Any = np.float32) -> None:
    """Refuses a transformation whose update of an entry depends on where the entry stands.

    Args:
      tx: a transformation.
      dtype: of the parameters.

    Raises:
      Refused: with the reason.
    """
    reason = _reason(tx, np.dtype(dtype))
    if reason:
        raise Refused(reason)


@functools.lru_cache(256)
def _reason(tx: Any, dtype: Any) -> str:
    tx = with_extra_args_support(tx)
    params = [jax.ShapeDtypeStruct(shape, dtype) for shape in SHAPES]
    try:
        state = jax.eval_shape(tx.init, params)
        closed, out = jax.make_jaxpr(tx.update, return_shape=True)(params, state, params)
        before = _fields((params, state, params), ("gradient", "state", "params"))
        after = _fields(out, ("update", "state"))
        results = _follow(closed.jaxpr, [_constant(c) for c in closed.consts], [value for _, value in before])
    except Refused as e:
        return str(e)
    except Exception as e:  # a transformation that asks for more than gradients, or for other parameters
        return f"its update could not be traced on two leaves: {e}"
    found: dict[Any, Any] = {}
    for (name, like), value in zip(after, results, strict=True):
        if value.join:
            return f"{name} holds a part of the leaves"
        if like.leaf is not None and value.leaf not in (like.leaf, None):
            return f"{name} of one leaf depends on another leaf"
        if found.setdefault(name, value.made) != value.made:
            return f"{name} is not made alike for all leaves: shapes, places or masks decide"
    return ""


def called(eqn: Any) -> Any:
    """The jaxpr that an equation calls, closed or not; None without one."""
    return eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))


def _fields(trees: Sequence[Any], names: Sequence[str]) -> list[tuple[str, _Value]]:
    """The leaves of trees as values, with the name of the field that each belongs to."""
    found = []
    for tree, name in zip(trees, names, strict=True):
        for path, x in jax.tree_util.tree_leaves_with_path(tree):
            if x.shape in SHAPES:
                field = name + jax.tree_util.keystr(path[:-1])
                found.append((field, _Value(("field", field), SHAPES.index(x.shape))))
            elif x.shape == ():
                field = name + jax.tree_util.keystr(path)
                found.append((field, _Value(("field", field))))
            else:
                raise Refused(
                    f"{name}{jax.tree_util.keystr(path)} has shape {x.shape} for leaves of shapes {SHAPES}"
                )
    return found


def _constant(value: Any) -> _Value:
    if np.shape(value) != ():
        raise Refused(f"it uses an array of shape {np.shape(value)}")
    return _Value(("constant", np.asarray(value).item()))


def _follow(jaxpr: Any, consts: Sequence[_Value], args: Sequence[_Value]) -> list[_Value]:
    known: dict[Any, _Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> _Value:
        return _constant(atom.val) if isinstance(atom, Literal) else known[atom]

    for eqn in jaxpr.eqns:
        known.update(zip(eqn.outvars, _equation(eqn, [read(a) for a in eqn.invars]), strict=True))
    return [read(a) for a in jaxpr.outvars]


def _equation(eqn: Any, args: list[_Value]) -> list[_Value]:
    name = eqn.primitive.name
    if name in CALLS:
        inner = called(eqn)
        closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
        return _follow(closed.jaxpr, [_constant(c) for c in closed.consts], args)
    parts = [a for a in args if a.join]
    if parts:
        return [_joined(name, parts, args)]
    leaves = {a.leaf for a in args} - {None}
    if len(leaves) > 1:
        raise Refused(f"{name} brings two leaves together")
    leaf = next(iter(leaves), None)
    made = (name, *[a.made for a in args])
    if name in ENTRYWISE:
        options = str(sorted((k, str(v)) for k, v in eqn.params.items()))
        return [_Value((*made, options, k), leaf) for k in range(len(eqn.outvars))]
    if leaf is None:
        shapes = [v.aval.shape for v in eqn.outvars]
        if name == "broadcast_in_dim" and shapes[0] in SHAPES:
            return [_Value(("everywhere", args[0].made), SHAPES.index(shapes[0]))]
        if all(shape == () for shape in shapes):  # of scalars alone, whatever it is
            options = str(sorted((k, str(v)) for k, v in eqn.params.items()))
            return [_Value((*made, options, k)) for k in range(len(eqn.outvars))]
    elif name in _JOINS and len(eqn.params["axes"]) == len(SHAPES[leaf]):
        return [_part(_Value(made, None, _JOINS[name], frozenset([leaf])))]
    raise Refused(f"{name} depends on where an entry stands")


def _joined(name: str, parts: list[_Value], args: list[_Value]) -> _Value:
    """What an equation makes of parts of the leaves."""
    first = parts[0]
    if name == "convert_element_type":
        return first
    others = [a for a in args if not a.join]
    start = all(a.made[0] == "constant" and a.made[1] == _START.get(first.join) for a in others)
    alike = all(p.made == first.made and p.join == first.join for p in parts)
    members = frozenset().union(*[p.of for p in parts])
    if name != first.join or not start or not alike or len(members) < sum(len(p.of) for p in parts):
        raise Refused(f"{name} uses what was measured on one leaf alone")
    return _part(first._replace(of=members))


_START = {"add": 0, "max": -np.inf, "min": np.inf, "and": True, "or": False}


def _part(value: _Value) -> _Value:
    """A scalar of all leaves is free to be used."""
    return _Value(("all", value.join, value.made)) if len(value.of) == len(SHAPES) else value
