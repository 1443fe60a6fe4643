"""Products of matrices."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..._ground._settings import now
from .._writer import Atom, Writer
from ._rule import Rule, need, strong


def matmul(w: Writer, a: Any, b: Any) -> Atom:
    need(now()[1] is None and strong(a).aval.dtype == strong(b).aval.dtype)
    m, n = len(a.aval.shape), len(b.aval.shape)
    need(m and n)
    if n <= 2:
        batch: tuple[int, ...] = ()
    else:
        need(m == n and a.aval.shape[:-2] == b.aval.shape[:-2] and 1 not in a.aval.shape[:-2])
        batch = tuple(range(n - 2))
    over = max(n - 2, 0)
    need(a.aval.shape[-1] == b.aval.shape[over])
    return w.dot(a, b, ((m - 1,), (over,)), (batch, batch))


def dot(w: Writer, a: Any, b: Any) -> Atom:
    """The product of vectors, and of matrices."""
    need(isinstance(a.aval.shape, tuple) and a.aval.ndim in (1, 2) and b.aval.ndim in (1, 2))
    return matmul(w, a, b)


RULES: dict[Any, Rule] = {jnp.matmul: matmul, jnp.dot: dot}
