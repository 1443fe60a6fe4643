"""The page docs/from-pytorch.md, from the tables: `python -m nablax.autograd._torch._page` writes it to standard
output."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .._tensor._inplace import InPlace
from .._tensor._namespaces import nn
from .._tensor._torch._making import FUNCTIONS as MAKING
from .._tensor._torch._methods import IN_PLACE
from .._tensor._torch._random import FUNCTIONS as RANDOM
from .._tensor._torch._rows import Row, shown
from .._tensor._torch._table import FUNCTIONS, METHODS, TABLE
from . import _names
from ._data import NAMES as DATA
from ._functional._table import TABLE as FUNCTIONAL
from ._init import FUNCTIONS as INIT
from ._places import ELSEWHERE

HEAD = """# From PyTorch

*Made from the tables in `src/nablax/autograd/_tensor/_torch` by `python -m nablax.autograd._torch._page`; do not edit.*

```python
from nablax import autograd as torch
from nablax.autograd import nn
import nablax.autograd.nn.functional as F
```

A name of torch's that is here does what it does in torch: values, gradients, dtypes and shapes of every row are
tested against torch. Of torch's own samples, 894 agree and 39 do not, over the 302 of its operators that are here:
`benchmarks/torch_operators.py`, which prints those that differ.
NumPy's words keep NumPy's meaning: with `axis=`, `keepdims=`, `ddof=`, `ord=` or `axes=` a
method, and a function at the top level, is NumPy's (`x.max(axis=1)` is an array, `x.max(1)` and `x.max(dim=1)` are
values and indices). `autograd.numpy`, `.linalg`, `.fft`, `.scipy` are JAX's, with `dim=` and `keepdim=` as other
names of the axis.

## What differs on purpose, everywhere

- `autograd.grad(y, x)` of one tensor is the gradient, not a tuple; `[0]` and unpacking of it raise.
  `autograd.grad(y, [x])[0]` is right in both.
- A view (`y[0]`, `y.view(-1)`, `y.T`, `p.data`, `y.detach()`) writes to its base. A view whose base changed after
  it was taken can be read, as it was, and raises where it is written to.
- What an operation recorded keeps its old value, whatever changes in place afterwards; there is no version error.
- Integers are 32 bits and floating numbers 32 bits unless x64 is enabled; then Python's floats are 64 bits.
  `.double()` without x64 warns.
- Integers divide and have means as floating numbers of the default width.
- Random numbers are NumPy's and not torch's: those of a seed (`manual_seed`) are the same each time. Inside
  `autograd.functional` under jit they are drawn once.
- `from_numpy` and `numpy()` copy. Storage is not shared, `is_contiguous()` is always true, `stride()` that of a
  contiguous tensor.
- `Tensor` is no constructor: `tensor(data)`; and `x.type()` says `tensor.float32`.
- `utils.data.DataLoader` fetches its samples in this process: `num_workers`, `pin_memory` and their like change
  nothing. The order of `shuffle=True` is NumPy's, and Python's floats become floats of 32 bits.
- There is no `out=`. Devices are JAX's: `.cuda()` raises where there is none. Files are `.npz` or `.safetensors`,
  never pickles.
- The methods of an `autograd.Function` are traced: they cannot look at a tensor's value, and do not change their
  arguments in place. In a second derivative, what forward computed on the way and saved has its own derivative, where
  torch's is 0. Gradients that nobody asks for are zeros, never None.
- Complex gradients are JAX's, the conjugates of torch's.
- An index out of range that is only recorded gives NaN or is clipped; one that is known raises.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD, "## Rows that differ on purpose", "", "| name | how |", "|---|---|"]
    everywhere = {**TABLE, **{f"F.{name}": row for name, row in FUNCTIONAL.items()}}
    parts += [f"| `{name}` | {row.differs} |" for name, row in sorted(everywhere.items()) if row.differs]
    parts += ["", "## Names that NumPy's words turn into NumPy's functions", ""]
    parts.append(", ".join(f"`{name}`" for name, row in sorted(TABLE.items()) if row.numpy is not None) + ".")
    parts += _section(
        "Methods and functions", {n: r for n, r in TABLE.items() if n in METHODS and n in FUNCTIONS}
    )
    parts += _section("Functions only", {n: r for n, r in TABLE.items() if n not in METHODS})
    parts += _section("Methods only", {n: r for n, r in TABLE.items() if n not in FUNCTIONS})
    parts += ["", "In place: " + ", ".join(f"`{name}`" for name in sorted(_in_place())) + "."]
    parts += _section("nn.functional", FUNCTIONAL)
    parts += _section("Making tensors", MAKING)
    parts += _section("Random numbers", RANDOM)
    parts += _section("nn.init", INIT)
    parts += _section("nn.utils", {n: f for n, f in vars(nn.utils).items() if inspect.isfunction(f)})
    parts += _section("nn.utils.rnn", {"pad_sequence": _names.pad_sequence})
    parts += ["", f"## utils.data: {len(DATA)}", "", ", ".join(f"`{name}`" for name in sorted(DATA)) + "."]
    parts += ["", f"## nn: {len(_names.MODULES)} modules", ""]
    parts.append(", ".join(f"`{name}`" for name in sorted(_names.MODULES)) + ".")
    parts += ["", "## Names of torch's that are elsewhere", "", "| torch | here |", "|---|---|"]
    parts += [f"| `{name}` | {where} |" for name, where in sorted(ELSEWHERE.items())]
    return "\n".join(parts) + "\n"


def _in_place() -> set[str]:
    return {name for name in (*vars(InPlace), *IN_PLACE) if name.endswith("_") and not name.startswith("_")}


def _section(title: str, table: dict[str, Any]) -> list[str]:
    rows = ["", f"## {title}: {len(table)}", ""]
    for name, each in sorted(table.items()):
        fn: Callable[..., Any] = each.fn if isinstance(each, Row) else each
        rows.append(f"- `{name}{_signature(fn)}`")
    return rows


def _signature(fn: Callable[..., Any]) -> str:
    try:
        return shown(fn) if not inspect.isclass(fn) else "()"
    except (TypeError, ValueError):
        return "(input)"


if __name__ == "__main__":
    print(page(), end="")
