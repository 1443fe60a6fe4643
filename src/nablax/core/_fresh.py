"""New buffers, without a program: XLA takes 30 ms to compile even a copy or a fill, and for each shape again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._kinds import ANY_ARRAY, DTYPE, ONE_ARRAY, refusing
from nablax.core._tracing import is_traced, under_trace

_SMALL = 2**20  # bytes; of what is larger there would be NumPy's, too, for a while


@refusing(x=ANY_ARRAY)
def copied(x: Any, dtype: Any = None) -> jax.Array:
    """An array in a buffer of its own, laid out over the same devices.

    Args:
      x: an array, a number, or what is being traced.
      dtype: None is its own.
    """
    is_array = isinstance(x, np.ndarray) or (_is_there(x) and x.is_fully_addressable)
    if is_array and (dtype is None or dtype == x.dtype) and _nobody_decides():
        return jax.device_put(x, may_alias=False)
    return jnp.array(x, dtype, copy=True)


@refusing(p=ANY_ARRAY, fill=ONE_ARRAY, dtype=DTYPE)
def filled_like(p: Any, fill: Any, dtype: Any = None, without: Sequence[int] = ()) -> jax.Array:
    """An array like another, filled with a number: of its shape, on its devices.

    Args:
      p: an array, a number, or what is being traced.
      fill: the number.
      dtype: None is that of p; numbers stay weakly typed.
      without: axes of p that it lacks; it is sharded as a sum over them.
    """
    if not (_is_simple(p) and isinstance(fill, int | float) and _nobody_decides()):
        full = jnp.full_like(p, fill, dtype=dtype)
        return jnp.max(full, tuple(without), initial=fill) if without else full
    dtype = jnp.result_type(p) if dtype is None else jax.dtypes.canonicalize_dtype(dtype)
    shape = [n for axis, n in enumerate(p.shape) if axis not in without]
    where = p.sharding if isinstance(p, jax.Array) and p.committed else None
    return jax.device_put(np.full(shape, fill, dtype), where, may_alias=False)


def zero_count() -> jax.Array:
    """The count of updates at the start: an int32 zero."""
    return filled_like(np.zeros((), np.int32), 0)


def _is_there(x: Any) -> bool:
    return isinstance(x, jax.Array) and not is_traced(x)


def _nobody_decides() -> bool:
    """Whether no trace is on, and no mesh is set, which gives new arrays their types."""
    return not under_trace() and jax.sharding.get_abstract_mesh().empty


def _is_simple(p: Any) -> bool:
    """Whether one like it is best made by NumPy: it is small and lies on one device."""
    if isinstance(p, np.ndarray):
        return p.nbytes <= _SMALL
    alone = _is_there(p) and isinstance(p.sharding, jax.sharding.SingleDeviceSharding)
    return alone and not p.weak_type and p.nbytes <= _SMALL
