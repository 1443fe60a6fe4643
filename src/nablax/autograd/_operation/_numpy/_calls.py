"""A function as a list of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any


class Kernel:
    """A function as a list of calls: `kernel(args)` gives a list of results.

    size: arguments, which take the first slots.  outs: slots of the results.
    rest: what the other slots hold at the start: constants, or None.  sizes: elements of what they will hold.
    code: rows for `perform`.  constants: by slot.
    """

    __slots__ = ("code", "constants", "outs", "rest", "size", "sizes")

    size: int
    outs: list[int]
    rest: list[Any]
    sizes: list[int]
    code: list[tuple]
    constants: dict[int, Any]

    def __call__(self, args: Sequence[Any]) -> list[Any]:
        env = [*args, *self.rest]
        perform(self.code, env)
        return [env[slot] for slot in self.outs]


def said(function: Callable[..., Any], text: str, fresh: bool = False, **names: Any) -> Callable[..., Any]:
    """A function of Python that says how it is written where what runs often is written out (_program/_compose.py).

    text: what it returns, of its arguments {0}, {1}, or {all}, and of `names`.
    fresh: whether that is never a view of an argument.
    """
    function.__dict__.update(text=text, fresh=fresh, names=names)
    return function


def row(function: Callable[..., Any], into: Sequence[int], out: int | tuple[int, ...]) -> tuple:
    """A call for `perform`: a function, the slots of its arguments, the slot of its result (or slots, of several)."""
    if len(into) == 1:
        return function, into[0], -1, out
    if len(into) == 2:
        return function, into[0], into[1], out
    return function, tuple(into), -2, out


def perform(code: Iterable[tuple], env: list[Any]) -> None:
    """Make calls, one after the other, on the values in `env`."""
    for function, a, b, out in code:
        if b >= 0:
            made = function(env[a], env[b])
        elif b == -1:
            made = function(env[a])
        else:
            made = function(*[env[i] for i in a])
        if out.__class__ is int:
            env[out] = made
        else:
            for slot, value in zip(out, made, strict=True):
                env[slot] = value
