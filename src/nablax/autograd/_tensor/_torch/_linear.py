"""Products and matrices."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import jax.numpy as jnp

from ._reductions import norm
from ._rows import Row, axes, rows

slogdet = namedtuple("slogdet", ("sign", "logabsdet"))


def _axes_of(name: str, *wanted: tuple[Any, int]) -> None:
    for x, n in wanted:
        if jnp.ndim(x) != n:
            raise ValueError(
                f"{name}: an argument of {n} axes is needed, got shape {jnp.shape(x)}; see matmul."
            )


def _mm(input: Any, mat2: Any) -> Any:
    _axes_of("mm", (input, 2), (mat2, 2))
    return jnp.matmul(input, mat2)


def _mv(input: Any, vec: Any) -> Any:
    _axes_of("mv", (input, 2), (vec, 1))
    return jnp.matmul(input, vec)


def _bmm(input: Any, mat2: Any) -> Any:
    _axes_of("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ValueError(
            f"bmm: both need the same number of matrices, got {input.shape[0]} and {mat2.shape[0]}."
        )
    return jnp.matmul(input, mat2)


def _dot(input: Any, tensor: Any) -> Any:
    return jnp.dot(input, tensor)


def _cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    return norm(x1[..., :, None, :] - x2[..., None, :, :], p, -1)


def _cross(input: Any, other: Any, dim: Any = None) -> Any:
    if dim is None:
        dim = next((i for i, n in enumerate(jnp.shape(input)) if n == 3), -1)
    return jnp.cross(input, other, axis=dim)


def _slogdet(input: Any) -> Any:
    return slogdet(*jnp.linalg.slogdet(input))


def _cholesky(input: Any, upper: bool = False) -> Any:
    found = jnp.linalg.cholesky(input)
    return jnp.matrix_transpose(found).conj() if upper else found


def _einsum(equation: Any, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    return jnp.einsum(equation, *operands)


def _chain(matrices: Any) -> Any:
    return jnp.linalg.multi_dot(matrices)


TABLE: dict[str, Row] = rows({
    "matmul": lambda input, other: jnp.matmul(input, other),
    "mm": _mm,
    "mv": _mv,
    "bmm": _bmm,
    "dot": Row(_dot, differs="of matrices, too, as NumPy's"),
    "vdot": lambda input, other: jnp.vdot(input, other),
    "inner": lambda input, other: jnp.inner(input, other),
    "outer ger": lambda input, vec2: jnp.outer(input, vec2),
    "kron": lambda input, other: jnp.kron(input, other),
    "cross": Row(_cross, numpy=jnp.cross),
    "addmm": lambda input, mat1, mat2, *, beta=1, alpha=1: beta * input + alpha * _mm(mat1, mat2),
    "addmv": lambda input, mat, vec, *, beta=1, alpha=1: beta * input + alpha * _mv(mat, vec),
    "addr": lambda input, vec1, vec2, *, beta=1, alpha=1: beta * input + alpha * jnp.outer(vec1, vec2),
    "baddbmm": lambda input, batch1, batch2, *, beta=1, alpha=1: beta * input + alpha * _bmm(batch1, batch2),
    "addbmm": lambda input, batch1, batch2, *, beta=1, alpha=1: beta * input + alpha * _bmm(batch1, batch2).sum(0),
    "trace": lambda input: jnp.trace(input),
    "det": lambda input: jnp.linalg.det(input),
    "logdet": lambda input: jnp.linalg.slogdet(input)[1],
    "slogdet": _slogdet,
    "inverse": lambda input: jnp.linalg.inv(input),
    "pinverse": lambda input: jnp.linalg.pinv(input),
    "cholesky": _cholesky,
    "matrix_power": lambda input, n: jnp.linalg.matrix_power(input, n),
    "einsum": _einsum,
    "tensordot": lambda a, b, dims=2: jnp.tensordot(a, b, axes(dims)),
    "cdist": Row(_cdist, differs="compute_mode has no effect: distances are exact"),
    "chain_matmul": lambda *matrices: _chain(matrices),
    "corrcoef": lambda input: jnp.corrcoef(input),
    "cov": lambda input, *, correction=1: jnp.cov(input, ddof=correction),
})  # fmt: skip

ONLY_FUNCTIONS = {"einsum", "tensordot", "chain_matmul", "cdist"}
