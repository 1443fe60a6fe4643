"""A function with letters for sizes, taken apart once; kernels are made of it by putting numbers in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ..._ground._quiet import quietly
from ._calls import Kernel, row
from ._elementwise import QUICK
from ._functions import function_of, rule_for
from ._lower import FOLDED, Lowered


class Waiting(NamedTuple):
    """A call that waits for sizes.

    rule, params: what makes its function.  names: of the parameters that are made of sizes.
    ins, outs: avals.  many: whether it has several results.  into, out: slots.
    """

    rule: Any
    params: dict[str, Any]
    names: tuple[str, ...]
    ins: list[Any]
    outs: list[Any]
    many: bool
    into: tuple[int, ...]
    out: tuple[int, ...]


class Pattern(Lowered):
    """The calls of a function, of which some wait for sizes.

    Args:
      closed: the function.
      large: numbers from which on they are letters.
    """

    __slots__ = ("_lacking", "_large", "_letters", "_shapes", "_waiting")

    def __init__(self, closed: ClosedJaxpr, large: int) -> None:
        self._large = large
        self._letters: list[tuple[int, Any]] = []  # slots of literals that may be sizes
        self._shapes: list[tuple[int, tuple[int, ...]]] = []  # of the slots that are filled
        self._waiting: list[Waiting | None] = []  # for each call; None where the function is known
        self._lacking = False
        super().__init__(closed)

    def _at_once(self, jaxpr: Any) -> bool:
        return False  # for sizes are waited for

    def _read(self, atoms: Sequence[Any], slots: dict[Any, int]) -> list[int]:
        found = super()._read(atoms, slots)
        for atom, slot in zip(atoms, found, strict=True):
            if isinstance(atom, Literal) and not np.ndim(atom.val) and abs(atom.val) >= self._large:
                self._letters.append((slot, atom))
        return found

    def _made(self, v: Any) -> int:
        slot = self._slot(0)
        self._shapes.append((slot - self.size, v.aval.shape))
        return slot

    def _called(self, eqn: Any, into: list[int]) -> list[int]:
        out = self._made(eqn.outvars[0])
        host = eqn.params["host"]
        self.code.append(row(host, into, out))
        rule = (lambda ins, outs, host: host) if hasattr(host, "resized") else None
        self._waiting.append(
            rule and Waiting(rule, {"host": host}, ("host",), [], [], False, tuple(into), (out,))
        )
        return [out]

    def _equation(self, eqn: Any, into: list[int], small: bool) -> list[int]:
        outs, many = [self._made(v) for v in eqn.outvars], eqn.primitive.multiple_results
        known: Any = QUICK.get(eqn.primitive.name)
        if known is None or function_of(eqn, small) is not known or all(i in self.constants for i in into):
            known = None
        self.code.append(row(known, into, tuple(outs) if many else outs[0]))
        if known is not None:
            self._waiting.append(None)
            return outs
        found = rule_for(eqn, small)
        self._lacking |= found is None
        rule, params = found or (None, {})
        names = tuple([k for k, v in params.items() if self._has_letters(v)])
        ins, made = [v.aval for v in eqn.invars], [v.aval for v in eqn.outvars]
        self._waiting.append(Waiting(rule, params, names, ins, made, many, tuple(into), tuple(outs)))
        return outs

    def _has_letters(self, value: Any) -> bool:
        if isinstance(value, tuple):
            return any(map(self._has_letters, value))
        return value.__class__ is int and abs(value) >= self._large

    def at(self, sizes: Any) -> Kernel | None:
        """The kernel with numbers for letters (`_sizes.Sizes`); None where NumPy lacks a function."""
        if self._lacking:
            return None
        made, about = Kernel(), sizes.about
        made.size, made.outs = self.size, self.outs
        made.constants = constants = dict(self.constants)
        for slot, atom in self._letters:
            constants[slot] = np.asarray(sizes.literal(atom), atom.aval.dtype)
        made.sizes = lengths = self.sizes[:]
        count = sizes.count
        for place, shape in self._shapes:
            lengths[place] = count(shape)
        made.code = code = []
        for call, waiting in zip(self.code, self._waiting, strict=True):
            if waiting is None:
                code.append(call)
                continue
            rule, params, names, ins, results, many, into, outs = waiting
            if names:
                params = {**params, **{k: sizes.of(params[k]) for k in names}}
            function = rule([about(v) for v in ins], [about(v) for v in results], **params)
            if function is None:
                return None
            if self._folded(into, outs, constants, lengths):
                found = quietly(function, *[constants[i] for i in into])
                constants.update(zip(outs, found if many else (found,), strict=True))
                for i in outs:
                    lengths[i - self.size] = 0
            else:
                code.append((function, *call[1:]))
        made.rest = [constants.get(self.size + k) for k in range(len(lengths))]
        return made

    def _folded(
        self, into: tuple[int, ...], outs: tuple[int, ...], constants: dict[int, Any], lengths: list[int]
    ) -> bool:
        """Whether a call is made once and for all: of constants, and not for much."""
        for i in into:
            if i not in constants:
                return False
        return sum([lengths[i - self.size] for i in outs]) <= FOLDED
