"""Calls of the first tier as one function of Python: what has run often enough is written out, line by line.

    def run(values):
        v0, v1 = values
        v2 = v0 * v1
        v3 = f0(v2)
        return [v3]

It makes the calls that `perform` makes, in their order, on the same arrays, so it computes the same bits; what is
saved is the loop over rows.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from .._ground._aval import Aval
from .._ground._quiet import heard, hush, restore
from .._operation._kernel import on_host
from .._operation._numpy import Kernel

# Runs after which a function is written; it takes as long as the loop's overhead in a hundred.
OFTEN = 48
TEXTS: Mapping[Any, str] = {
    operator.add: "{} + {}", operator.sub: "{} - {}", operator.mul: "{} * {}", operator.truediv: "{} / {}",
    operator.neg: "-{}", operator.lt: "{} < {}", operator.le: "{} <= {}", operator.gt: "{} > {}",
    operator.ge: "{} >= {}", operator.eq: "{} == {}", operator.ne: "{} != {}",
    operator.and_: "{} & {}", operator.or_: "{} | {}", operator.xor: "{} ^ {}", operator.invert: "~{}",
}  # fmt: skip


NUMBERS = frozenset({int, float})
# Of real numbers without axes, which Python's operators compute ten times as quick as functions of arrays do.
SCALAR_TEXTS: Mapping[Any, str] = {**TEXTS, np.square: "{0} * {0}"}
_NAMED = type(operator.add), np.ufunc
# Of real numbers, element by element: the result may take the place of an argument that nothing reads any more.
OVER: Mapping[Any, np.ufunc] = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply, operator.truediv: np.divide,
    operator.neg: np.negative, operator.abs: np.abs,
    **{each: each for each in (np.exp, np.log, np.log1p, np.expm1, np.sin, np.cos, np.tanh, np.sqrt, np.square,
                               np.maximum, np.minimum)},
}  # fmt: skip
LARGE = 2048  # elements from which on memory is used again


class Source:
    """A function being written: its lines, and the names that they read from outside.

    constants: values by slot.  avals: of the first slots.
    """

    def __init__(self, constants: Mapping[int, Any], avals: Sequence[Aval]) -> None:
        self._constants = constants
        self._avals = avals
        self._single: set[int] = {
            slot for slot, value in constants.items() if getattr(value, "shape", None) == ()
        }
        self._bare: dict[int, str] = {}  # slots of single numbers -> names of scalars, in the place of arrays
        self._names: dict[int, str] = {}  # of slots
        self._outside: dict[str, Any] = {
            "A": np.ndarray,
            "NUMBERS": NUMBERS,
            "asarray": np.asarray,
            "heard": heard,
            "hush": hush,
            "restore": restore,
        }
        self._known: dict[int, str] = {}  # id of what is read from outside, and is kept there -> its name
        self._head: list[str] = []
        self._lines: list[str] = []

    def outside(self, value: Any) -> str:
        """The name of something that is not computed here."""
        name = self._known.get(id(value))
        if name is None:
            name = self._known[id(value)] = f"c{len(self._known)}"
            self._outside[name] = value
        return name

    def known(self, name: str, value: Any) -> None:
        """Let a name stand for something that is not computed here."""
        self._outside[name] = value

    def name(self, slot: int) -> str:
        """The name of a value; None where there is none."""
        name = self._names.get(slot)
        if name is not None:
            return name
        value = self._constants.get(slot)
        return "None" if value is None else self.outside(value)

    def take(self, parameter: str, slots: Sequence[tuple[int, Aval]], exact: bool = False) -> None:
        """Read values from a parameter; the function returns None where one is not an array of NumPy's, or, if it is to
        be exact, is of another shape or dtype."""
        if not slots:
            return
        names = []
        for slot, aval in slots:
            name = self._names[slot] = f"v{slot}"
            names.append(name)
            if not isinstance(aval.dtype, np.dtype):  # a random key, which stays JAX's
                continue
            dtype = self.outside(aval.dtype)
            if exact:
                shape = self.outside(aval.shape)
                unlike = (
                    f"{name}.__class__ is not A or {name}.dtype is not {dtype} or {name}.shape != {shape}"
                )
                self._head.append(f"if {unlike}: return None")
                continue
            if aval.weak and not aval.shape:  # a number of Python's, as a rule
                kind = self.outside(aval.dtype.type)
                self._head.append(f"if {name}.__class__ in NUMBERS: {name} = {kind}({name})")
                self._head.append(f"elif {name}.__class__ is not A: return None")
            else:
                self._head.append(f"if {name}.__class__ is not A: return None")
            self._head.append(f"if {name}.dtype is not {dtype}: {name} = {name}.astype({dtype})")
        self._head.insert(0, f"{', '.join(names)}, = {parameter}")

    def read(self, parameter: str, slots: Iterable[int]) -> None:
        """Let slots be found in a list."""
        for slot in slots:
            self._names[slot] = f"v{slot}"
            self._head.append(f"v{slot} = {parameter}[{slot}]")

    def rows(self, rows: Sequence[tuple], sizes: Sequence[int], kept: Collection[int]) -> None:
        """Calls, as `perform` takes them.

        sizes: elements of each slot.  kept: slots that are read afterwards.
        """
        last: dict[int, int] = {}
        for n, (_, a, b, out) in enumerate(rows):
            last.update(dict.fromkeys(_read(a, b), n))
            last.update(dict.fromkeys((out,) if out.__class__ is int else out, n))
        last.update(dict.fromkeys(kept, len(rows)))
        own: set[int] = set()  # slots of arrays that were made here, and of which there is no view
        for n, (function, a, b, out) in enumerate(rows):
            slots = _read(a, b)
            over = function in OVER if isinstance(function, _NAMED) else False
            done = [slot for slot in {*slots} if last[slot] == n and sizes[slot] >= LARGE]
            free = [slot for slot in done if over and slot in own and sizes[slot] == sizes[out]]
            self._row(function, slots, out, free[0] if free else None)
            self._lines += [
                f"v{slot} = None" for slot in done if slot in self._names and slot not in free[:1]
            ]
            if over or getattr(function, "fresh", False):
                own.add(out)
            elif not isinstance(function, _NAMED):
                own.difference_update(slots)

    def _row(self, function: Any, slots: Sequence[int], out: Any, over: int | None) -> None:
        outs = (out,) if out.__class__ is int else out
        texts = TEXTS
        named = isinstance(function, _NAMED)
        if named and slots and all(map(self._is_single, slots)):
            args, texts = [self._scalar(slot) for slot in slots], SCALAR_TEXTS
            self._single.update(outs)
            self._bare.update({slot: f"v{slot}" for slot in outs})
        else:
            args = [self.name(slot) for slot in slots]
        text = texts.get(function) if named else getattr(function, "text", None)
        if over is not None:
            made = f"{self.outside(OVER[function])}({', '.join(args)}, v{over})"
        elif text:
            names = {} if named else {name: self.outside(value) for name, value in function.names.items()}
            made = text.format(*args, all=", ".join(args), **names)
        else:
            made = f"{self.outside(function)}({', '.join(args)})"
        for slot in outs:
            self._names[slot] = f"v{slot}"
        into = ", ".join(f"v{slot}" for slot in outs)
        self._lines.append(f"{into}{',' if out.__class__ is not int else ''} = {made}" if outs else made)

    def _is_single(self, slot: int) -> bool:
        return slot in self._single or (slot < len(self._avals) and not self._avals[slot].shape)

    def _scalar(self, slot: int) -> str:
        name = self._bare.get(slot)
        if name is None:
            if slot in self._names:
                name = f"s{slot}"
                self._lines.append(f"{name} = v{slot}[()]")
            else:
                name = self.outside(self._constants[slot][()])
            self._bare[slot] = name
        return name

    def function(self, parameters: str, result: str) -> Callable[..., Any]:
        """The function, which returns `result`."""
        lines = [*self._head]
        if self._lines:
            lines += [
                "before = heard()",
                "try:",
                " hush()",
                *[f" {line}" for line in self._lines],
                "finally:",
                " restore(before)",
            ]
        text = "\n ".join([f"def run({parameters}):", *lines, f"return {result}"])
        return FunctionType(_code_of(text).replace(), self._outside)


def _read(a: Any, b: int) -> tuple[int, ...]:
    """The slots that a call reads."""
    return a if b == -2 else (a,) if b == -1 else (a, b)


@functools.lru_cache(256)
def _code_of(text: str) -> CodeType:
    space: dict[str, Any] = {}
    exec(
        compile(text, f"{__file__}, written", "exec"), space
    )  # a name that is ours, in tracebacks and for them
    return space["run"].__code__


def foreign(rows: Iterable[tuple]) -> bool:
    """Whether some of the calls run compiled: under settings of JAX, and with results that may be tracers."""
    return not on_host() or any(getattr(function, "foreign", False) for function, *_ in rows)


def composed(kernel: Kernel, avals: Sequence[Aval], lent: Collection[int]) -> Callable[..., Any] | None:
    """A kernel as a function of a list of its arguments, which returns arrays that share elements with no other.

    It returns None where an argument is not NumPy's, or not of its aval. None instead of a function where not all of it
    is NumPy's.

    lent: numbers of results that are arguments, constants, or results before.
    """
    if foreign(kernel.code):
        return None
    source = Source(kernel.constants, avals)
    source.take("values", [*enumerate(avals)], True)
    source.rows(kernel.code, [*[aval.size for aval in avals], *kernel.sizes], kernel.outs)
    found = []
    for k, slot in enumerate(kernel.outs):
        name = source.name(slot)
        known = f"{name} if {name}.__class__ is A and {name}.base is None else owned({name})"
        found.append(f"asarray({name}).copy()" if k in lent else known)
    source.known("owned", _owned)
    return source.function("values", f"[{', '.join(found)}]")


def _owned(value: Any) -> Any:
    if value.__class__ is not np.ndarray:
        return np.asarray(value)
    return value if value.base is None else value.copy()


def handed_text(name: str, aval: Aval) -> str:
    """A value as tensors keep it: NumPy's functions make scalars of arrays without axes."""
    return name if aval.shape else f"{name} if {name}.__class__ is A else asarray({name})"
