"""Which equations of a traced function are needed, and of what they consist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.core import Literal

# The commonest operations that take no functions.
PLAIN = {
    "add", "sub", "mul", "div", "max", "min", "pow", "neg", "exp", "log", "log1p", "sin", "cos", "tanh", "logistic",
    "sqrt", "square", "integer_pow", "abs", "sign", "eq", "ne", "lt", "le", "gt", "ge", "select_n", "dot_general",
    "broadcast_in_dim", "reduce_sum", "reduce_max", "reshape", "transpose", "convert_element_type", "slice", "pad",
    "gather", "concatenate", "squeeze",
}  # fmt: skip


def needed(eqns: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
    """The equations that some variables depend on, in order; those with effects, too."""
    wanted = {v for v in outs if v.__class__ is not Literal}
    found = []
    for e in reversed(eqns):
        made = e.outvars
        if (made[0] in wanted if len(made) == 1 else not wanted.isdisjoint(made)) or e.effects:
            found.append(e)
            for v in e.invars:
                if v.__class__ is not Literal:
                    wanted.add(v)
    found.reverse()
    return found


def work(jaxpr: Any) -> tuple[int, bool]:
    """How many elementary operations are in a jaxpr, those of inner jaxprs included, and whether one calls back into
    Python."""
    count, calls_back = 0, False
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        inner = () if name in PLAIN else _inner(eqn.params)
        for each in inner:
            more, calls = work(each)
            count, calls_back = count + more, calls_back or calls
        if not inner:
            count += 1
            calls_back = calls_back or "callback" in name
    return count, calls_back


def _inner(params: dict[str, Any]) -> list[Any]:
    """The jaxprs among parameters."""
    return [
        getattr(p, "jaxpr", p)
        for p in params.values()
        if p is not None and (hasattr(p, "jaxpr") or hasattr(p, "eqns"))
    ]


def named(atom: Any, names: dict[Any, Any]) -> Any:
    """An atom under another name, where it has one."""
    return atom if isinstance(atom, Literal) else names.get(atom, atom)


def renamed(eqn: Any, names: dict[Any, Any]) -> Any:
    """An equation with other variables."""
    ins, outs = [named(v, names) for v in eqn.invars], [names.get(v, v) for v in eqn.outvars]
    return eqn.replace(invars=ins, outvars=outs)
