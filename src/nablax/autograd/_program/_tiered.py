"""A function of arrays in tiers: at first NumPy runs what JAX traced of it, compiled code takes over when it is hot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxpr_as_fun

from .._ground._answers import must_be_callable
from .._ground._aval import X64, Aval, aval_of
from .._ground._bounded import Bounded
from .._ground._disk import compiled
from .._ground._quiet import quietly
from .._ground._settings import now
from .._ground._stats import stats
from .._operation._general import Traced, flattened
from .._operation._joint import trace, unjitted
from .._operation._kernel import entering, handed, kernel, on_host, plain
from ._compose import OFTEN, composed
from ._tiers import Hot, schedule, settings

MOST_KINDS = 32  # structures, shapes and dtypes of arguments


class tiered:
    """As `jax.jit`, but nothing waits for the compiler (see `tiers`).

    For each structure, shapes and dtypes of the arguments the function is traced once, when it is called first. On CPU
    it then runs as calls of NumPy; a program that has run often enough is compiled beside it and takes over, at a run
    that follows from the program alone. On other devices, and for arrays that are spread over several, it is
    `jax.jit`. Results are arrays of NumPy or of JAX.

    Args:
      fn: a function that JAX traces: of pytrees of arrays, without side effects.
      donate_argnums: positions of arguments whose buffers compiled code may overwrite.

    >>> import numpy as np
    >>> from nablax import autograd
    >>> double = autograd.tiered(lambda x: 2 * x)
    >>> double(np.float32([1, 2])).tolist()
    [2.0, 4.0]
    """

    def __init__(self, fn: Callable[..., Any], donate_argnums: Sequence[int] = ()) -> None:
        must_be_callable("tiered", "fn", fn)
        self._fn = fn
        self._donate = tuple(donate_argnums)
        self._kinds: Bounded = Bounded(MOST_KINDS)
        self._last: Any = None  # of the last call: key, whether x64 was on, kind

    @cached_property
    def _jitted(self) -> Any:
        return jax.jit(self._fn, donate_argnums=self._donate)

    def __call__(self, *args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        under = now()
        if self._last is not None:
            key, x64, kind = self._last
            if tree == key[0] and under == key[-1] and x64 == X64.value:
                found = kind.again(leaves)
                if found is not None:
                    return jax.tree.unflatten(kind.tree, found)
            self._kinds.get(key)  # which makes it the one used last
        if settings.tier == "compiled" or not on_host() or not all(map(plain, leaves)):
            return self._jitted(*args)
        key = (tree, *map(aval_of, leaves), under)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = self._traced(tree, key[1:-1], args)
        self._last = key, X64.value, kind
        return jax.tree.unflatten(kind.tree, kind(leaves))

    def lower(self, *args: Any) -> Any:
        """As that of a jitted function."""
        return self._jitted.lower(*args)

    def _traced(self, tree: Any, avals: Sequence[Aval], args: tuple) -> _Kind:
        flat = unjitted(lambda *leaves: self._fn(*jax.tree.unflatten(tree, leaves)))
        found = flattened(trace(flat, [a.struct for a in avals], ()))
        ends = np.cumsum([0, *[len(jax.tree.leaves(a)) for a in args]]).tolist()
        donated = [k for i in self._donate for k in range(ends[i], ends[i + 1])]
        return _Kind(found, avals, donated)


class _Kind:
    """The function on arguments of given avals, as a flat list."""

    def __init__(self, traced: Traced, avals: Sequence[Aval], donated: Sequence[int]) -> None:
        stats.inferences += 1
        self._avals, self.tree = avals, traced.tree
        self._kernel = k = kernel(traced.jaxpr)
        # Results that are arguments, constants, or results before.
        self._lent = {
            i for i, slot in enumerate(k.outs) if slot < k.size or slot in k.constants or slot in k.outs[:i]
        }
        crossing = len(avals) + len(traced.jaxpr.out_avals)
        start, count = schedule(len(self._kernel.code), sum(self._kernel.sizes), crossing)
        self._written: Any = None
        # Whether it is seen from arrays what their avals are.
        self._told = all(isinstance(a.dtype, np.dtype) and not a.weak for a in avals)
        self._hot = Hot(partial(self._compile, traced.jaxpr, donated), start, count)

    def _compile(self, jaxpr: Any, donated: Sequence[int], ahead: bool) -> Any:
        stats.compilations += 1
        program = jax.jit(jaxpr_as_fun(jaxpr), donate_argnums=donated)
        if ahead:
            compiled(program.lower(*[aval.struct for aval in self._avals]))
        return program

    def again(self, leaves: list[Any]) -> list[Any] | None:
        """What `__call__` returns, where this is one run more of the first tier, and by what was written; None where it
        is not, or where arguments are not of the avals."""
        if self._written is None or not self._told or not self._hot.rests():
            return None
        found = self._written(leaves)
        if found is not None:
            self._hot.runs += 1
        return found

    def __call__(self, leaves: list[Any]) -> list[Any]:
        program = self._hot.ready()
        if program is not None:
            return program(*leaves)
        found = None
        if self._written is not None:
            found = self._written(leaves)
        elif self._hot.runs == OFTEN and self._hot.count > 4 * OFTEN:
            self._written = composed(self._kernel, self._avals, self._lent)
        return self._entered(leaves) if found is None else found

    def _entered(self, leaves: list[Any]) -> list[Any]:
        args = [entering(x, aval) for x, aval in zip(leaves, self._avals, strict=True)]
        if self._written is not None:
            found = self._written(args)
            if found is not None:
                return found
        found = quietly(self._kernel, args)
        return [_own(handed(v), k in self._lent) for k, v in enumerate(found)]


def _own(value: Any, lent: bool) -> Any:
    """An array that shares its elements with no other."""
    return value.copy() if isinstance(value, np.ndarray) and (lent or value.base is not None) else value
