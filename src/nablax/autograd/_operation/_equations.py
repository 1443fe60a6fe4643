"""Which equations of a traced function are needed, and of what they consist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.core import Literal


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


def primitives(jaxpr: Any) -> list[str]:
    """Names of the elementary operations in a jaxpr, those of inner jaxprs included."""
    found: list[str] = []
    for equation in jaxpr.eqns:
        inner = [
            getattr(p, "jaxpr", p)
            for p in equation.params.values()
            if p is not None and (hasattr(p, "jaxpr") or hasattr(p, "eqns"))
        ]
        for each in inner:
            found += primitives(each)
        if not inner:
            found.append(equation.primitive.name)
    return found


def named(atom: Any, names: dict[Any, Any]) -> Any:
    """An atom under another name, where it has one."""
    return atom if isinstance(atom, Literal) else names.get(atom, atom)


def renamed(eqn: Any, names: dict[Any, Any]) -> Any:
    """An equation with other variables."""
    ins, outs = [named(v, names) for v in eqn.invars], [names.get(v, v) for v in eqn.outvars]
    return eqn.replace(invars=ins, outvars=outs)
