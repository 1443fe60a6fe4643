"""Cotangents on their way: the first one, their dtype, tensors that nobody else holds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._bounded import Bounded
from .._ground._settings import holding
from .._operation._kernel import on_host
from .._path._recorded import Recorded, as_tensor, is_recorded, value_of
from .._segment._flush import realize

_ones: Bounded = Bounded(64)


def own(value: Any) -> Any:
    """A tensor that nobody else holds, with a value that somebody else may hold."""
    if not isinstance(value, Recorded):
        return as_tensor(value.copy() if isinstance(value, np.ndarray) else value)
    if is_recorded(value):
        return value.clone()  # type: ignore[attr-defined]
    made = as_tensor(value_of(value))
    if value._r:
        made._n, made._k = value, -1
    elif value._n is not None:
        made._n, made._k = value._n, value._k
    return made


def one(aval: Any, node: Any) -> Any:
    """The cotangent 1, as a node takes it; kept, for making an array takes longer than a backward through a small
    segment."""
    residual = getattr(node, "residual", None)
    first = residual is not None and residual[0] == "env"  # the first tier ran it
    found = _ones.get((aval, first))
    if found is None:
        with holding(aval.dtype):
            found = _numpys_one(aval) if first and on_host() else jnp.ones(aval.shape, aval.dtype)
        if isinstance(found, jax.core.Tracer):  # inside somebody's jit
            return found
        _ones[aval, first] = found
    return found


def _numpys_one(aval: Any) -> Any:
    made = np.ones(aval.shape, aval.dtype)
    made.flags.writeable = False
    return made


def cast(ct: Any, dtype: Any) -> Any:
    """A cotangent in the dtype of what it belongs to."""
    if ct.dtype == dtype:
        return ct
    with holding(dtype):
        return ct.astype(dtype) if isinstance(ct, Recorded) else jnp.asarray(ct, dtype)  # type: ignore[attr-defined]


def computed(ct: Any, dtype: Any) -> Any:
    """A cotangent as an array, whose recording ends if it is a tensor without value."""
    return cast(realize(ct) if isinstance(ct, Recorded) else ct, dtype)
