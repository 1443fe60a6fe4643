"""What has to look at values: where, which and how many. The shape of the result depends on them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._namespaces import numpy
from ._rows import Row, rows


def _nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    found = numpy.nonzero(numpy.atleast_1d(input))
    at = tuple(i.astype(int) for i in found)
    return at if as_tuple else numpy.stack(at, 1) if input.shape else numpy.zeros((len(at[0]), 0), jnp.int_)


def _unique(input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
            dim: Any = None) -> Any:  # fmt: skip
    found = numpy.unique(input.detach(), return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    if not return_inverse and not return_counts:
        return found
    found = list(found)
    if return_inverse and dim is None:
        found[1] = numpy.reshape(found[1], input.shape)
    return (found[0], *[i.astype(int) for i in found[1:]])


def _bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    n = max(int(numpy.max(input)) + 1 if input.size else 0, minlength)
    found = numpy.bincount(input, weights, length=n)
    return found if weights is not None else found.astype(int)


def _histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    x = input.detach()
    low, high = (numpy.min(x).item(), numpy.max(x).item()) if min == max == 0 else (min, max)
    return numpy.histogram(x, bins, (low, high))[0].astype(x.dtype)


def _masked_select(input: Any, mask: Any) -> Any:
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return numpy.broadcast_to(input, shape)[numpy.broadcast_to(mask, shape)]


TABLE: dict[str, Row] = rows({
    "nonzero": Row(_nonzero, differs="one row an element; NumPy's tuple with as_tuple=True"),
    "argwhere": lambda input: _nonzero(input),
    "unique": Row(_unique, differs="without gradient, always sorted"),
    "bincount": Row(_bincount, within=lambda input, *_, **__: ("input", input, 0, None, None)),
    "histc": _histc,
    "masked_select": _masked_select,
}, direct=True)  # fmt: skip
