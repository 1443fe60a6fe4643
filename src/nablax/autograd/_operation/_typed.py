"""Typed: a call on arguments of given shapes and dtypes, and what is known about it."""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax.extend.core import Literal

from .._ground._aval import Aval, intern, interned
from .._ground._bounded import Bounded
from .._ground._settings import in_x64
from .._ground._stats import stats
from ._alike import Alike, shapes_of
from ._equations import work
from ._general import Traced
from ._joint import Joint
from ._kernel import kernel
from ._numpy import Kernel

MOST_JOINTS = 32
LEAF = jax.tree.structure(0)


class Typed:
    """A call on arguments of given avals.

    avals, tree: of the results (tree is None for a single array).  weight: the work in it.
    shapes: where sizes decide nothing, what finds those of its variables (see `each`).
    """

    __slots__ = (
        "_each", "_first", "_joints", "_kernel", "_kernels", "_like", "_traced", "args", "avals", "call", "shapes",
        "tree", "weight", "x64",
    )  # fmt: skip

    _traced: Traced | None

    def __init__(self, call: Any, args: tuple[Aval, ...], x64: bool) -> None:
        self.call = call
        self.args = args
        self.x64 = x64
        self._like: Any = None  # Alike or Numbered, where the same for other shapes tells all
        self._each: bool | None = None
        # Wanted arguments, `again`, and with these Joint and its pullback as Typed: what was asked first, and the rest.
        self._first: tuple | None = None
        self._joints: Bounded | None = None
        self._kernel: Kernel | None = None
        self._kernels: Bounded | None = None  # id of a joint -> the joint, so that it stays, and Kernel

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
        self.tree = None if traced.tree == LEAF else traced.tree
        self.avals = tuple([interned(v.aval) for v in jaxpr.jaxpr.outvars])
        count, calls_back = work(jaxpr.jaxpr)
        if calls_back:
            self.call.may_fail = True
        self.weight = max(1, count // 2)
        return self

    @property
    def made(self) -> bool:
        """Whether equations make all results: an argument that is handed on may be so for its shape alone."""
        jaxpr = self.traced.jaxpr.jaxpr
        return not set(jaxpr.invars) & {v for v in jaxpr.outvars if v.__class__ is not Literal}

    @property
    def each(self) -> bool:
        """Whether sizes decide nothing, so that other shapes need no trace of their own."""
        if self._each is None:
            given = [a.shape for a in self.args]
            self.shapes = shapes_of(self.traced.jaxpr) if any(given) else None
            self._each = self.shapes is not None and self.shapes.of(given) is not None
        return self._each

    def resized(self, args: tuple[Aval, ...]) -> Typed | None:
        """The same on arguments of other shapes, where `each` holds; None where these do not fit."""
        known: Any = self.shapes
        shapes = known.of([a.shape for a in args])
        if shapes is None:
            return None
        avals = tuple(
            [intern(shapes[i], a.dtype, a.weak) for a, i in zip(self.avals, known.outs, strict=True)]
        )
        made = self.sized(args, avals, Alike(self, shapes))
        made._each, made.shapes = True, known
        return made

    def sized(self, args: tuple[Aval, ...], avals: tuple[Aval, ...], like: Any) -> Typed:
        """The same on arguments of other shapes, with results of these; `like` says the rest."""
        made = self.anew(args)
        made._like, made._traced = like, None
        made.avals, made.tree, made.weight = avals, self.tree, self.weight
        return made

    def anew(self, args: tuple[Aval, ...]) -> Typed:
        """The call on other arguments, of which nothing is known."""
        return Typed(self.call, args, self.x64)

    @property
    def traced(self) -> Traced:
        """What a trace found."""
        if self._traced is None:
            self._traced = self._like.traced()
        return self._traced

    def joint(self, wants: tuple[int, ...], again: bool) -> tuple[Joint, Typed]:
        """Forward with residuals, and the pullback as an operation of its own."""
        first = self._first
        if first is not None and first[0] == wants and first[1] is again:
            return first[2]
        found = None if self._joints is None else self._joints.get((wants, again))
        if found is None:
            if self._like is not None:
                found = self._like.joint(self, wants, again)
            if found is None:
                found = self.spelled_out(wants, again)
            if first is None:
                self._first = wants, again, found
            else:
                if self._joints is None:
                    self._joints = Bounded(MOST_JOINTS)
                self._joints[wants, again] = found
        return found

    def spelled_out(self, wants: tuple[int, ...], again: bool = False) -> tuple[Joint, Typed]:
        """`joint`, from the equations."""
        joint = in_x64(self.x64, self.call.joint, self.args, wants, self.x64, self.traced, again)
        jaxpr = joint.pull.jaxpr
        outs = jaxpr.outvars
        known = Traced(joint.pull, _structure(len(outs)), ())
        pull = Typed(self.call.backward(known), tuple([interned(v.aval) for v in jaxpr.invars]), self.x64)
        pull._traced, pull.tree, pull.weight = known, known.tree, 1  # no backward weighs anything
        pull.avals = tuple([interned(v.aval) for v in outs])
        return joint, pull

    def kernel(self, joint: Joint | None = None) -> Kernel:
        """The first tier's function of the arguments: results, and residuals where `joint` is given."""
        if joint is not None and joint.extra:
            return self._with_residuals(joint)
        if self._kernel is None:
            stats.operations += 1
            self._kernel = self._lowered(self.traced.jaxpr) if self._like is None else self._like.kernel()
        return self._kernel

    def _with_residuals(self, joint: Joint) -> Kernel:
        if self._kernels is None:
            self._kernels = Bounded(MOST_JOINTS)
        found = self._kernels.get(id(joint))
        if found is None:
            stats.operations += 1
            found = self._kernels[id(joint)] = joint, self._lowered(joint.forward)
        return found[1]

    def _lowered(self, jaxpr: Any) -> Kernel:
        return in_x64(self.x64, kernel, jaxpr)


@functools.cache
def _structure(n: int) -> Any:
    """That of a list."""
    return jax.tree.structure([0] * n)
