"""The code that makes an optimizer again, at its best rate."""

from __future__ import annotations

import re
from dataclasses import replace

import nablax

from .._catalogue import parse, shape_call
from .._results import Entry


def snippet(entry: Entry, rate: float) -> str:
    """Python that makes the transformation, and the optimizer around it."""
    spec = parse(entry.label)
    call = repr(replace(spec, schedule=None).build(rate, entry.steps))
    lines = []
    if spec.schedule is not None:
        lines.append(f"shape = nablax.schedules.{shape_call(spec.schedule, entry.steps)}")
        call = call.replace(repr(rate), f"lambda count: {rate!r} * shape(count)", 1)
    call = re.sub(r"(?<![\w.])([a-z]\w*)\(", lambda m: f"{_path(m[1])}(", call)
    return "\n".join(
        [
            "import nablax",
            "",
            *lines,
            f"tx = {call}",
            "opt = nablax.Optimizer(tx, params)  # your parameters",
            "",
        ]
    )


def _path(name: str) -> str:
    return f"nablax.{name}" if hasattr(nablax, name) else name
