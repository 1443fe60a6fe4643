"""Calls: an operation together with its static arguments, as a function of arrays, and what is known about it.

A call is made once for each (operation, static arguments) and shared by all recordings and threads. On given avals it
is `Typed`: traced once, with its pullback where a gradient is carried, and kept with the first tier's kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun

from .._ground._aval import Aval, interned
from .._ground._bounded import Bounded
from .._ground._errors import ShapeError, user_line
from .._ground._settings import x64_as
from .._ground._stats import stats
from ._general import General, Traced, flattened, kind
from ._joint import Joint, split, trace
from ._kernel import kernel
from ._numpy import Kernel
from ._reverse import Left, joint_of, reversed_of
from ._written import rule_of, write

MOST_CALLS, MOST_SHAPES, MOST_KINDS, MOST_JOINTS = 4096, 512, 64, 32
FIXED, CHECKED, ALIKE = range(3)
_CALLS: Bounded = Bounded(MOST_CALLS)
_LOCK = threading.Lock()
_LEAF = jax.tree.structure(0)


class Typed:
    """A call on arguments of given avals.

    avals, tree: of the results (tree is None for a single array).  weight: the work in it.
    """

    __slots__ = ("_joints", "_kernels", "_traced", "args", "avals", "call", "tree", "weight", "x64")

    def __init__(self, call: Call, args: tuple[Aval, ...], x64: bool) -> None:
        self.call = call
        self.args = args
        self.x64 = x64
        # wanted arguments -> Joint, and its pullback as Typed
        self._joints: Bounded = Bounded(MOST_JOINTS)
        # id of a joint -> the joint, so that it stays, and Kernel
        self._kernels: Bounded = Bounded(MOST_JOINTS)

    def trace(self, wants: tuple[int, ...]) -> Typed:
        """Find out what the results are; with the pullback to the arguments `wants` at once, if there is one."""
        self.of(self.call.traced(self.args, (), self.x64))
        if wants and not self.call.stubborn:
            try:
                self.joint(wants, False)
            except Exception:  # not to be differentiated
                self.call.stubborn = True
        return self

    def of(self, traced: Traced) -> Typed:
        """Take the results from a trace."""
        self._traced, jaxpr = traced, traced.jaxpr
        self.tree = None if traced.tree == _LEAF else traced.tree
        self.avals = tuple(map(interned, jaxpr.out_avals))
        names = primitives(jaxpr.jaxpr)
        self.call.may_fail |= any("callback" in name for name in names)
        self.weight = max(1, len(names) // 2)
        return self

    def joint(self, wants: tuple[int, ...], again: bool) -> tuple[Joint, Typed]:
        """Forward with residuals, and the pullback as an operation of its own."""
        found = self._joints.get((wants, again))
        if found is None:
            with x64_as(self.x64):
                joint = self.call.joint(self.args, wants, self.x64, self._traced, again)
                found = self._joint((wants, again), joint)
        return found

    def _joint(self, key: tuple, joint: Joint) -> tuple[Joint, Typed]:
        name = f"backward of {self.call.name}"
        tree = jax.tree.structure([0] * len(joint.pull.out_avals))
        known = Traced(joint.pull, tree, ())
        call = Call(name, jaxpr_as_fun(joint.pull), FIXED, known)
        args = tuple(map(interned, joint.pull.in_avals))
        found = self._joints[key] = joint, Typed(call, args, self.x64).of(known)
        return found

    def kernel(self, joint: Joint | None = None) -> Kernel:
        """The first tier's function of the arguments: results, and residuals where `joint` is given."""
        key = None if joint is None or not joint.extra else id(joint)
        found = self._kernels.get(key)
        if found is None:
            stats.operations += 1
            jaxpr: Any = self._traced.jaxpr if joint is None or not joint.extra else joint.forward
            with x64_as(self.x64):
                found = self._kernels[key] = joint, kernel(jaxpr)
        return found[1]


class Call:
    """A function of arrays: `fn(*arrays)` gives an array or a pytree of arrays.

    Compared by identity: `intern_call` makes one for each specification.

    Args:
      name: for messages and drawings.
      fn: the function.
      shapes: what a trace for one shape says about another. FIXED, nothing: the function takes one shape only, or is a
        function of the user's, which may ask shapes whatever it likes. CHECKED, as much as a comparison finds. ALIKE,
        everything.
      known: the trace, where the function was made of one.
    """

    __slots__ = ("_general", "_known", "_rule", "_shapes", "_typed", "fn", "may_fail", "name", "stubborn")

    def __init__(
        self, name: str, fn: Callable[..., Any], shapes: int = CHECKED, known: Traced | None = None
    ) -> None:
        self._known = known
        self._rule = rule_of(fn)
        self.name = name
        self.fn = fn
        self._shapes = shapes
        self._general: Bounded = Bounded(MOST_KINDS)
        self.may_fail = False  # whether it calls back into Python, where anything may be raised
        self.stubborn = False  # whether it cannot be differentiated
        self._typed: Bounded = Bounded(MOST_SHAPES)

    def __repr__(self) -> str:
        return self.name

    def flat(self, *args: Any) -> list[Any]:
        """The results as a flat list."""
        return jax.tree.leaves(self.fn(*args))

    def traced(self, avals: Sequence[Aval], wants: tuple[int, ...], x64: bool) -> Traced:
        """Forward, and where gradients are wanted backward, for given avals."""
        forward = self._known or self._traced(avals, (), x64)
        if not wants:
            return forward
        try:
            return reversed_of(forward, wants)
        except Left:
            return self._traced(avals, wants, x64)

    def joint(
        self, avals: Sequence[Aval], wants: tuple[int, ...], x64: bool, forward: Traced, again: bool
    ) -> Joint:
        """Forward and pullback to the arguments `wants`, of a forward that is known; `again`: see `split`."""
        try:
            return joint_of(forward, wants, again)
        except Left:
            return split(self._traced(avals, wants, x64), again)

    def _traced(self, avals: Sequence[Aval], wants: tuple[int, ...], x64: bool) -> Traced:
        """JAX's trace, or what a rule writes in its place; from that of like avals where those are known."""
        if self._rule is not None and not wants:
            written = write(self._rule, avals)
            if written is not None:
                return Traced(written, _LEAF, ())

        def now(structs: Sequence[Any]) -> Traced:
            return trace(unjitted(self.fn), structs, wants)

        if self._shapes == FIXED:
            return flattened(trace(self.fn, [a.struct for a in avals], wants))
        key = (kind(avals), wants, x64)
        general = self._general.get(key)
        if general is None:
            general = self._general[key] = General(self._shapes == ALIKE)
        return general.at(avals, now)

    def on(self, avals: tuple[Aval, ...], x64: bool, wants: tuple[int, ...] = ()) -> Typed:
        """This call on given avals; raises ShapeError, with the user's line, where it takes no such arguments.

        wants: the arguments to which gradients will flow, as far as is known now.
        """
        found = self._typed.get((avals, x64))
        if found is None:
            stats.inferences += 1
            try:
                found = Typed(self, avals, x64).trace(wants)
            except (TypeError, ValueError) as error:
                if isinstance(
                    error, jax.errors.JAXTypeError
                ):  # about tracing, not about shapes: keep its class
                    error.add_note(f"while recording {self.name} at {user_line()}")
                    raise
                given = ", ".join(map(repr, avals))
                raise ShapeError(f"{self.name}({given}) at {user_line()}: {_first_lines(error)}") from None
            self._typed[avals, x64] = found
        return found


def unjitted(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that JAX traces in one go, although it calls jitted ones: a trace within a trace takes its time."""

    def plain(*args: Any) -> Any:
        with jax.disable_jit():
            return fn(*args)

    return plain


def intern_call(spec: Hashable, build: Callable[[], tuple]) -> Call:
    """The one call of a specification; `build` gives what makes it, when it is new: name, function, and `shapes`."""
    found = _CALLS.get(spec)
    if found is None:
        with _LOCK:
            found = _CALLS.get(spec)
            if found is None:
                found = _CALLS[spec] = Call(*build())
    return found


def clear_calls() -> None:
    """Forget all calls, and with them their kernels."""
    _CALLS.clear()


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


def _first_lines(error: BaseException) -> str:
    text = str(error).strip()
    return text.split("\n\n")[0] if text else type(error).__name__
