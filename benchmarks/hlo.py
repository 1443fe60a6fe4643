"""Collectives of a compiled program, counted in its text: kinds, how often a step runs them, and bytes."""

from __future__ import annotations

import collections
import math
import re
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_SIZES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "s16": 2,
    "u16": 2,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "f64": 8,
}


class Collectives(NamedTuple):
    """count: by kind. sent: bytes that a device sends in a step, by kind, with ring algorithms."""

    count: dict[str, int]
    sent: dict[str, float]


def collectives(text: str) -> Collectives:
    """Those of a step of a program.

    An array of S bytes over n devices costs a device 2 (n-1)/n S in an all-reduce, and (n-1)/n S in an all-gather, a
    reduce-scatter or an all-to-all of that size; a permute sends what it makes. Loops are counted as often as they run.
    """
    bodies, entry = _computations(text)
    count: collections.Counter[str] = collections.Counter()
    sent: collections.Counter[str] = collections.Counter()

    def walk(name: str, times: int) -> None:
        for line in bodies[name]:
            found = re.search(rf" = (.*?) ({'|'.join(KINDS)})(-start)?\(", line)
            if found:
                kind = found[2]
                size = sum(map(_bytes, re.findall(r"(\w+)\[([\d,]*)\]", found[1])))
                count[kind] += times
                sent[kind] += times * size * _factor(kind, line)
            again = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
            for called in re.findall(r"(?:body|to_apply|calls|branch_computations)=\{?%?([\w.\-]+)", line):
                if called in bodies:
                    walk(called, times * (int(again[1]) if again and "body=" in line else 1))

    walk(entry, 1)
    return Collectives(dict(count), dict(sent))


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    bodies: dict[str, list[str]] = {}
    entry = current = ""
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if head:
            current = head[2]
            bodies[current] = []
            entry = current if head[1] else entry
        elif current:
            bodies[current].append(line)
    return bodies, entry


def _bytes(shape: tuple[str, str]) -> int:
    dtype, dims = shape
    return _SIZES.get(dtype, 0) * math.prod(int(d) for d in dims.split(",") if d)


def _factor(kind: str, line: str) -> float:
    """Bytes sent over bytes of the result."""
    if kind == "collective-permute":
        return 1.0
    n = _group(line)
    return {"all-reduce": 2.0, "reduce-scatter": n}.get(kind, 1.0) * (n - 1) / n


def _group(line: str) -> int:
    """The number of devices that take part."""
    named = re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line)
    if named:
        sizes = dict(re.findall(r"('\w+')=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'\w+'", named[2]))
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]", line)
    if iota:
        return int(iota[2])
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if listed is None:
        raise ValueError(f"no replica groups in: {line.strip()[:200]}")
    return len(listed[1].split(","))
