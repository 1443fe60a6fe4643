"""The commonest functions as equations that are written, not traced: a few microseconds each, where tracing JAX's takes
tens to hundreds of them.

A rule stands for a function: called with a writer and the function's own arguments, arrays as variables, it writes what
JAX would trace and returns the result. It writes the common case alone and leaves everything else to the trace
(`Unwritten`): other dtypes, Python numbers among themselves, what is an error. tests/autograd/test_written.py compares
each with JAX's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from jax.extend.core import Var

from ..._ground._aval import Aval
from .._writer import Writer, closed_of, shaped
from . import _elementwise, _linear, _reductions, _shapes
from ._rule import Rule as Rule
from ._rule import Unwritten as Unwritten

RULES: dict[Any, Rule] = {
    **_elementwise.RULES, **_linear.RULES, **_reductions.RULES, **_shapes.RULES,
}  # fmt: skip


class Sized(NamedTuple):
    """Of a function that some of its static arguments are sizes, so that the same for other sizes is alike.

    family: identifies the function without them.  sizes: these.  rule: the rule for any.
    """

    family: Hashable
    sizes: tuple[int, ...]
    rule: Callable[[tuple[int, ...]], Rule]


def by(rule: Rule, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of our own, with the rule that stands for it."""
    fn.written = rule  # type: ignore[attr-defined]
    return fn


def by_size(sized: Sized, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`by`, of a function with sizes among its static arguments."""
    fn.sized = sized  # type: ignore[attr-defined]
    return by(sized.rule(sized.sizes), fn)


def rule_of(fn: Callable[..., Any]) -> Rule | None:
    """The rule of a function, if there is one."""
    found = getattr(fn, "written", None)
    return RULES.get(fn) if found is None else found


def beside(fn: Callable[..., Any], number: Any, first: bool) -> Callable[..., Any]:
    """`fn(number, x)`, or `fn(x, number)`, as a function of x."""
    rule = rule_of(fn)
    made: Any = (lambda x: fn(number, x)) if first else (lambda x: fn(x, number))
    if rule is not None:
        made.written = (lambda w, x: rule(w, number, x)) if first else (lambda w, x: rule(w, x, number))
    return made


def write(rule: Rule, avals: Sequence[Aval], letters: bool = False) -> Any:
    """The jaxpr of a function with a rule, for arguments of these avals; None where the rule leaves it to JAX.

    letters: whether sizes stand for any others.
    """
    w = Writer(letters=letters)
    args = [Var(shaped(a.shape, a.dtype, a.weak)) for a in avals]
    try:
        out = rule(w, *args)
    except Exception:  # Unwritten, or an error that JAX will put in words
        return None
    return closed_of(args, [out], w.eqns)
