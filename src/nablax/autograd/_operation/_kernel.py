"""Kernels: what the first tier calls for one operation.

On CPU a kernel is a sequence of NumPy calls; on other devices, and for values that NumPy cannot hold, one jitted
program.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import SingleDeviceSharding

from .._ground._aval import Aval, config
from .._ground._disk import jitted
from .._ground._settings import holding
from ._numpy import Kernel, Lowered, row


def on_host() -> bool:
    """Whether the first tier computes with NumPy. Where the user has asked for CPU alone, JAX need not look for
    devices, which takes it a tenth of a second."""
    return config.jax_platforms == "cpu" or jax.default_backend() == "cpu"


class Compiled(Kernel):
    """A kernel of one jitted call."""

    __slots__ = ()

    def __init__(self, jaxpr: ClosedJaxpr) -> None:
        self.size = len(jaxpr.in_avals)
        self.constants = {}
        self.sizes = [getattr(aval, "size", 1) for aval in jaxpr.out_avals]
        self.rest = [None] * len(self.sizes)
        self.outs = [self.size + k for k in range(len(self.sizes))]
        self.code = [row(jitted(jaxpr_as_fun(jaxpr)), range(self.size), tuple(self.outs))]


def kernel(jaxpr: ClosedJaxpr) -> Kernel:
    """The kernel of a traced operation."""
    return Lowered(jaxpr) if on_host() else Compiled(jaxpr)


def entering(value: Any, aval: Aval) -> Any:
    """A value as kernels take it."""
    kind = value.__class__
    if kind is np.ndarray:
        return value if value.dtype == aval.dtype else value.astype(aval.dtype)
    if isinstance(value, jax.Array):
        return np.asarray(value) if isinstance(aval.dtype, np.dtype) and on_host() else value
    return np.asarray(value, aval.dtype)


def handed(value: Any) -> Any:
    """A value of the first tier as tensors keep it."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def plain(value: Any) -> bool:
    """Whether a value lies where the first tier computes: in this process' memory, or on the default device."""
    if value.__class__ is np.ndarray or not isinstance(value, jax.Array):
        return True
    if isinstance(value, jax.core.Tracer):
        return False
    sharding = value.sharding
    return isinstance(sharding, SingleDeviceSharding) and not (
        value.committed and sharding._device != _default()
    )


_HOST = {np.ndarray}


def all_plain(values: Sequence[Any]) -> bool:
    """Whether all of them do."""
    return {*map(type, values)} == _HOST or all(map(plain, values))


def plus(a: Any, b: Any) -> Any:
    """The sum of two arrays of one shape and dtype, by NumPy where they are NumPy's."""
    if a.__class__ is np.ndarray and b.__class__ is np.ndarray:
        return np.asarray(a + b)
    with holding(a.dtype):
        return _plus(a, b)


_plus = jax.jit(jnp.add)


@functools.cache
def _default() -> Any:
    return jax.local_devices()[0]
