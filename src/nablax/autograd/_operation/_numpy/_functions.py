"""The NumPy function of an equation, from the tables of all themes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from . import _elementwise, _picking, _reductions, _shapes, _windows
from ._elementwise import QUICK
from ._shapes import reshaped, same, stretched

RULES = {
    **_elementwise.RULES, **_shapes.RULES, **_reductions.RULES, **_picking.RULES, **_windows.RULES,
}  # fmt: skip
NATIVE = "fiucb"  # kinds of dtypes that NumPy computes with


def function_of(eqn: Any, small: bool) -> Callable[..., Any] | None:
    """The NumPy function of an equation; None where there is none."""
    quick = quick_of(eqn)
    if quick is not None:
        return quick
    found = rule_for(eqn, small)
    if found is None:
        return None
    rule, params = found
    return rule([v.aval for v in eqn.invars], [v.aval for v in eqn.outvars], **params)


def quick_of(eqn: Any) -> Callable[..., Any] | None:
    """The same where no more is asked than the operation's name and that it is of floats."""
    found = QUICK.get(eqn.primitive.name)
    if found is None or eqn.invars[0].aval.dtype.kind != "f" or eqn.params.get("accuracy") is not None:
        return None
    return found


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
    """A broadcast that those who read it make by themselves: all that is missing is axes of length 1, and not the first
    ones, if it grows."""
    shape, before = ins[0].shape, stretched(ins[0], outs[0].shape, broadcast_dimensions)
    if before[len(before) - len(shape) :] == shape and math.prod(shape) < outs[0].size:
        return same
    return reshaped(shape, before)


_IRRELEVANT = {"sharding", "out_sharding", "weak_type", "precision", "indices_are_sorted", "unique_indices",
               "update_consts"}  # fmt: skip


def _relevant(eqn: Any) -> dict[str, Any]:
    params = {k: v for k, v in eqn.params.items() if k not in _IRRELEVANT} if eqn.params else {}
    if params.get("accuracy", 0) is None:  # as good as there is: no wish
        del params["accuracy"]
    return params
