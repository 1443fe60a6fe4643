"""Lengths, and how far apart two vectors are."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..._tensor._torch._reductions import TABLE as REDUCTIONS
from ..._tensor._torch._rows import Row, rows

_norm = REDUCTIONS["norm"].fn


def _normalize(input: Any, p: Any = 2.0, dim: Any = 1, eps: Any = 1e-12) -> Any:
    return input / jnp.maximum(_norm(input, p, dim, True), eps)


def _cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: Any = 1e-8) -> Any:
    return (x1 * x2).sum(dim) / (jnp.maximum(_norm(x1, 2, dim), eps) * jnp.maximum(_norm(x2, 2, dim), eps))


def _pairwise_distance(x1: Any, x2: Any, p: Any = 2.0, eps: Any = 1e-6, keepdim: bool = False) -> Any:
    return _norm(x1 - x2 + eps, p, -1, keepdim)


TABLE: dict[str, Row] = rows({
    "normalize": _normalize,
    "cosine_similarity": _cosine_similarity,
    "pairwise_distance": _pairwise_distance,
})  # fmt: skip
