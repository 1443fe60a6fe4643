"""What draws random numbers, or reads values: functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..._tensor._lift import lifted
from ..._tensor._namespaces import numpy
from ..._tensor._torch._bounds import Within
from ..._tensor._torch._random import noise
from ..._tensor._torch._rows import Row, rows


def _dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must lie in [0, 1], got {p}.")
    if not training or p == 0:
        return input
    return input * _kept(input.shape, p, input.dtype)


def _kept(shape: Any, p: float, dtype: Any) -> np.ndarray:
    """1 / (1 - p) where an element is kept, 0 elsewhere."""
    kept = noise("random", tuple(shape), float) >= p
    return (kept / (1 - p) if p < 1 else kept * 0.0).astype(dtype)


def _dropout_channels(n: int) -> Callable[..., Any]:
    def fn(input: Any, p: float = 0.5, training: bool = True) -> Any:
        if not training or p == 0:
            return input
        lead = len(input.shape) - n
        return input * _kept((*input.shape[:lead], *[1] * n), p, input.dtype)

    return fn


def _one_hot(input: Any, num_classes: int) -> Any:
    return jax.nn.one_hot(input, num_classes, dtype=jax.dtypes.canonicalize_dtype(int))


def _one_hot_of(tensor: Any, num_classes: int = -1) -> Any:
    n = int(numpy.max(tensor)) + 1 if num_classes == -1 else num_classes
    return lifted(_one_hot, "one_hot", ("F", "one_hot"))(tensor, num_classes=n)


def _classes(tensor: Any, num_classes: int = -1) -> Within:
    return "tensor", tensor, 0, None if num_classes == -1 else num_classes, None


def _gumbel_softmax(logits: Any, tau: Any = 1, hard: bool = False, *, dim: int = -1) -> Any:
    drawn = -np.log(-np.log(noise("random", tuple(logits.shape), float) + 1e-20) + 1e-20)
    soft = ((logits + drawn.astype(logits.dtype)) / tau).softmax(dim)
    if not hard:
        return soft
    top = soft.detach().argmax(dim, keepdim=True)
    return numpy.zeros_like(soft.detach()).scatter(dim, top, 1.0) - soft.detach() + soft


TABLE: dict[str, Row] = rows({
    "dropout": Row(_dropout, differs="random numbers of its own"),
    "dropout1d": _dropout_channels(1),
    "dropout2d": _dropout_channels(2),
    "one_hot": Row(_one_hot_of, within=_classes),
    "gumbel_softmax": Row(_gumbel_softmax, differs="random numbers of its own"),
}, direct=True)  # fmt: skip
