"""Where tensors are, and names of torch's whose place is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._tensor._torch._making import FUNCTIONS as MAKING
from .._tensor._torch._making import make, number_type, place


def device(type: Any = "cpu", index: int | None = None) -> Any:
    """A device of JAX's for torch's name of it: device("cpu"), device("cuda", 0), device("cuda:0").

    Raises:
      RuntimeError: there is no such device.
    """
    return place(type if index is None else f"{type}:{index}")


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return device_count() > 0


def device_count() -> int:
    """How many GPUs JAX has."""
    return sum(each.platform == "gpu" for each in jax.devices())


def get_default_dtype() -> Any:
    """The dtype of Python's floats: float32, and float64 where x64 is enabled."""
    return number_type(float)


def _old(name: str, dtype: Any) -> Callable[..., Any]:
    def call(*data: Any) -> Any:
        if data and all(isinstance(n, int) for n in data):
            return MAKING["zeros"](*data, dtype=dtype)
        return make(np.asarray(data[0] if data else []).astype(number_type(dtype)), None)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"torch's {name}: tensor(data, dtype=...), or zeros of a shape."
    return call


CUDA = {"is_available": is_available, "device_count": device_count}
FUNCTIONS: dict[str, Any] = {
    "device": device, "get_default_dtype": get_default_dtype, "Size": tuple,
    **{f"{name}Tensor": _old(f"{name}Tensor", kind) for name, kind in (
        ("Float", np.float32), ("Double", np.float64), ("Long", np.int64), ("Int", np.int32), ("Bool", np.bool_))},
}  # fmt: skip

ELSEWHERE = {  # what the error says where a torch user looks for it
    "optim": "an optimizer is nablax.Optimizer(nablax.adam(1e-3), params), with step() and zero_grad()",
    "compile": "programs are compiled by themselves; see autograd.tiers",
    "jit": "programs are compiled by themselves; autograd.functional(f) is for jax.jit",
    "vmap": "jax.vmap(autograd.functional(f))",
    "func": "autograd.functional(f), for jax.grad, jax.vmap and their like; autograd.jvp, vjp, jacobian, hessian",
    "set_default_dtype": "jax.config.update('jax_enable_x64', True) makes floats 64 bits; a tensor takes dtype=",
    "set_default_device": "jax.config.update('jax_default_device', device)",
    "set_printoptions": "numpy.set_printoptions, which is what tensors are printed by",
    "set_num_threads": "XLA's threads are set by the environment, before JAX is imported",
    "distributed": "nablax.runtime shards optimizers over devices; see docs/scale.md",
    "load_state_dict": "a module has load_state_dict; autograd.load reads a file",
}
