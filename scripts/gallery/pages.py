"""The pages of the gallery, from the code: heads of modules, docstrings, sizes of states, and what the runs found."""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from .entries import OPTIMIZERS, SCHEDULES, Entry, families, names
from .runs import state_bytes

HEAD = """# Gallery of optimizers

*Made by `python -m scripts.gallery`; do not edit.*

Every optimizer on the same two problems, at the best of a sweep of learning rates, whose values stand in the legends
(valley; digits):

- **A narrow valley**: 300 gradients of (1 - x)² + 20 (y - x²)², from the dot to the ring. Drawn is the lowest rate that
  arrives, or else the one that comes lowest.
- **Digits**: 400 gradients of a network with 32 hidden units on batches of 64 digits; the loss of all training digits,
  the mean of three seeds. Adam's curve is grey.

Two small problems rank nobody. They show manners: who circles, who creeps, who jumps, who needs a rate. To compare on a
problem of yours, [`nablax compare`](../workbench.md) takes these names.

g is the gradient, p the parameters, u the update, t the count of updates from 1. State is counted in bytes a parameter,
beyond the parameters, for a layer of 1024 x 1024 in float32. Accuracy is that on 360 digits held out. What arguments
mean, weight decay above all: [Arguments that optimizers share](../optimizers.md).
"""

SCHEDULES_HEAD = """# Gallery of schedules

*Made by `python -m scripts.gallery`; do not edit.*

A schedule is a function of the count of updates, from 0, and goes in the place of any number that an optimizer lets
vary, `adamw(cosine_decay_schedule(1e-3, 10_000))`. Here each is drawn over 100 updates.

```python
from nablax.schedules import *
```
"""


def optimizers(results: Mapping[str, Mapping[str, float | None]]) -> str:
    """The page of optimizers. `results` has, by name, rates and the accuracy that were found."""
    out = [HEAD, "| optimizer | what | state | rate on digits | accuracy |", "|---|---|---|---|---|"]
    for group in OPTIMIZERS.values():
        for members in families(group):
            for entry in members:
                found = results[entry.name]
                rate = "its own" if found["digits"] is None else f"{found['digits']:g}"
                link = f"[`{entry.name}`](#{anchor(members)})"
                cells = link, summary(entry), amount(state_bytes(entry)), rate, f"{found['accuracy']:.1%}"
                out.append(f"| {' | '.join(cells)} |")
    for title, group in OPTIMIZERS.items():
        out += ["", f"## {title}"]
        for members in families(group):
            out += ["", *_section(members)]
    return "\n".join(out) + "\n"


def schedules() -> str:
    """The page of schedules."""
    out = [SCHEDULES_HEAD]
    for name, call in SCHEDULES.items():
        text = inspect.getdoc(names()[name]) or ""
        text = text.partition("\nArgs:")[0].replace("   f(t)", "\n\n    f(t)", 1)
        out += [f"## {name}", "", _fenced(text).strip(), "", "```python", call, "```", ""]
        out += [f"![{name}](../figures/gallery/{name}.svg)", ""]
        source = re.search(r"Source: .*", inspect.getdoc(names()[name]) or "")
        out += [source[0], ""] if source else []
    return "\n".join(out)


def summary(entry: Entry) -> str:
    """The first line of the docstring."""
    return (inspect.getdoc(names()[entry.name]) or "").partition("\n")[0].removesuffix(".")


def anchor(members: list[Entry]) -> str:
    """Of a family's heading."""
    return "-".join(entry.name for entry in members)


def amount(size: float) -> str:
    """Bytes a parameter, to two digits; a count or a key for all parameters is nothing."""
    return f"{round(size, 3):.2g} B" if size < 10 else f"{size:.0f} B"


def file_name(members: list[Entry]) -> str:
    """Of a family's picture, without its ending."""
    return members[0].name


def _section(members: list[Entry]) -> list[str]:
    heading = ", ".join(entry.name for entry in members)
    head = inspect.cleandoc(members[0].module.__doc__)
    out = [f"### {heading}", "", _fenced(head), ""]
    for entry in members:
        out.append(f"- `{entry.call}`: {entry.when} State: {amount(state_bytes(entry))}.")
    return [
        *out,
        "",
        f"![{heading}: a path in a valley, and learning curves](../figures/gallery/{file_name(members)}.svg)",
    ]


def _fenced(text: str) -> str:
    """Indented blocks as blocks of plain text."""
    out: list[str] = []
    for block in re.split(r"\n\n(?=\S)|(?<=\S)\n\n(?= )", text):
        if not block.startswith("    "):
            out.append(block)
        elif out and out[-1].startswith("```text"):
            out[-1] = out[-1].removesuffix("\n```") + "\n\n" + textwrap.dedent(block).rstrip() + "\n```"
        else:
            out.append(f"```text\n{textwrap.dedent(block).rstrip()}\n```")
    return "\n\n".join(out)


def kept(run: Any) -> dict[str, float | None]:
    """What the page tells of a run."""
    return {
        "digits": None if math.isnan(run.digits_rate) else float(run.digits_rate),
        "accuracy": round(float(run.accuracy), 4),
    }
