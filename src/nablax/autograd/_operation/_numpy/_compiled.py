"""What NumPy lacks: one equation as a compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..._ground._bounded import Bounded
from ..._ground._disk import jitted

MOST_CALLS = 1024
_CALLS: Bounded = Bounded(MOST_CALLS)


def host(value: Any) -> Any:
    """A value as NumPy's; random keys stay JAX's."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and jax.numpy.issubdtype(dtype, jax.dtypes.extended):
        return value
    return np.asarray(value)


def compiled(eqn: Any) -> Callable[..., list[Any]]:
    """An equation as a compiled program of its own."""
    kinds = tuple((v.aval.shape, v.aval.dtype, bool(getattr(v.aval, "weak_type", False))) for v in eqn.invars)
    key: Any = (eqn.primitive, tuple(sorted(eqn.params.items())), kinds)
    try:
        found = _CALLS.get(key)
    except TypeError:  # a parameter without a hash
        return _program(eqn)
    if found is None:
        found = _CALLS[key] = _program(eqn)
    return found


def _program(eqn: Any) -> Callable[..., list[Any]]:
    def bind(*args: Any) -> list[Any]:
        made = eqn.primitive.bind(*args, **eqn.params)
        return list(made) if eqn.primitive.multiple_results else [made]

    program = jitted(bind)

    def call(*args: Any) -> list[Any]:
        return [v if isinstance(v, jax.core.Tracer) else host(v) for v in program(*args)]

    call.foreign = True  # type: ignore[attr-defined]
    return call


def clear() -> None:
    """Forget the jitted calls."""
    _CALLS.clear()
