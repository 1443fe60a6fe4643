"""Lengths, and how far apart two vectors are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._tensor._torch._reductions import norm
from ..._tensor._torch._rows import Row, rows


def _normalize(input: Any, p: Any = 2.0, dim: Any = 1, eps: Any = 1e-12) -> Any:
    return input / jnp.maximum(norm(input, p, dim, True), eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: Any = 1e-8) -> Any:
    """The cosine of the angle between vectors along one axis."""
    return (x1 * x2).sum(dim) / (_at_least(norm(x1, 2, dim), eps) * _at_least(norm(x2, 2, dim), eps))


def _at_least(length: Any, eps: Any) -> Any:
    """The larger of both, with the slope of the length: torch's, whose bound is out of sight of the gradient."""
    return length + jax.lax.stop_gradient(jnp.maximum(length, eps) - length)


def pairwise_distance(x1: Any, x2: Any, p: Any = 2.0, eps: Any = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of differences along the last axis."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


TABLE: dict[str, Row] = rows({
    "normalize": _normalize,
    "cosine_similarity": cosine_similarity,
    "pairwise_distance": pairwise_distance,
})  # fmt: skip
