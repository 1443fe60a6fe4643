"""The one table: every name of torch's that is here, with its row; and the names at the top level made from it."""

from __future__ import annotations

import jax.numpy as jnp

from . import _counts, _elementwise, _joins, _linear, _orders, _picking, _reductions, _shapes
from ._rows import Row, rows

UNARY: dict[str, Row] = rows(_elementwise.UNARY)
_THEMES = (_elementwise, _reductions, _orders, _shapes, _joins, _picking, _counts, _linear)
TABLE: dict[str, Row] = UNARY | {name: row for theme in _THEMES for name, row in theme.TABLE.items()}

ONLY_FUNCTIONS = {
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "row_stack", "dstack", "column_stack", "block_diag",
    "meshgrid", "cartesian_prod", "combinations", "atleast_1d", "atleast_2d", "atleast_3d", "trapezoid", "trapz",
    "broadcast_tensors", "std_mean", "var_mean", "rsub", "bucketize", "searchsorted", "where", "einsum", "tensordot",
    "chain_matmul", "cdist", "unique",
}  # fmt: skip
ONLY_METHODS = {
    "view", "view_as", "reshape_as", "expand", "expand_as", "repeat", "unfold", "masked_scatter",
} | _elementwise.NOT_TORCHS  # fmt: skip
METHODS = {name: row for name, row in TABLE.items() if name not in ONLY_FUNCTIONS or name == "unique"}
FUNCTIONS = {name: row for name, row in TABLE.items() if name not in ONLY_METHODS}

DTYPES = {
    "float": jnp.float32, "double": jnp.float64, "half": jnp.float16, "long": jnp.int64, "int": jnp.int32,
    "short": jnp.int16, "cfloat": jnp.complex64, "cdouble": jnp.complex128,
}  # fmt: skip
