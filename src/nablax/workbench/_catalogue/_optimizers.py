"""The table of optimizers, read from the wings that hold them; a new one shows up here by itself.

An optimizer is a public function whose first parameter is `learning_rate`. Those that are called otherwise have a form
with a rate in `_recipes.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

import nablax.linesearch
import nablax.optimizers

from . import _recipes
from ._names import first_line


def _found_in(module: Any) -> dict[str, Callable[..., Any]]:
    def is_optimizer(name: str, value: Any) -> bool:
        if name.startswith(("_", "scale_by_")) or not inspect.isfunction(value):
            return False
        return next(iter(inspect.signature(value).parameters), "") == "learning_rate"

    return {name: value for name, value in vars(module).items() if is_optimizer(name, value)}


OPTIMIZERS: dict[str, Callable[..., Any]] = dict(
    sorted((_found_in(nablax.optimizers) | _found_in(nablax.linesearch) | _found_in(_recipes)).items())
)

DEFAULT_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lion")


def describe(name: str) -> str:
    """One line on the optimizer of this name."""
    return first_line(OPTIMIZERS[name])


def family(name: str) -> str:
    """The file that holds its equations: `adam` for adamw, `trust ratio` for lamb."""
    made_by = getattr(nablax.optimizers, name, OPTIMIZERS[name])
    return str(made_by.__module__).rpartition(".")[2].strip("_").replace("_", " ")


def signature(name: str) -> str:
    """How the optimizer is called, without types: `adam(learning_rate, b1=0.9, ...)`."""
    parameters = inspect.signature(OPTIMIZERS[name]).parameters.values()
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"{name}({', '.join(shown)})"


@cache
def state_bytes(name: str) -> float | None:
    """Bytes of the optimizer's state for each parameter of a float32 layer (512, 512) with a bias, as `init` says.

    None where the optimizer has to be told more than a rate.
    """
    needed = [p for p in inspect.signature(OPTIMIZERS[name]).parameters.values() if p.default is p.empty]
    if [p.name for p in needed] not in ([], ["learning_rate"]):
        return None
    layer = {
        "kernel": jax.ShapeDtypeStruct((512, 512), jnp.float32),
        "bias": jax.ShapeDtypeStruct((512,), jnp.float32),
    }
    return bytes_per_parameter(OPTIMIZERS[name](1e-3), layer)


def bytes_per_parameter(tx: Any, params: Any) -> float:
    """Bytes of a transformation's state for each number among the parameters, arrays or their shapes."""
    state = jax.eval_shape(tx.init, params)
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) / max(numbers, 1)
