"""Activations, element by element or along one axis."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._tensor import _kinks
from ..._tensor._torch._reductions import log_softmax, softmax
from ..._tensor._torch._rows import Row, rows

nn = jax.nn


def _gelu(input: Any, approximate: str = "none") -> Any:
    return nn.gelu(input, approximate=approximate == "tanh")


def _softplus(input: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Any:
    return jnp.where(
        input * beta > threshold, input, nn.softplus(jnp.minimum(input * beta, threshold)) / beta
    )


def _elu(input: Any, alpha: Any = 1.0) -> Any:
    return jnp.where(input > 0, input, alpha * jnp.expm1(jnp.where(input > 0, 0, input)))


def _celu(input: Any, alpha: Any = 1.0) -> Any:
    return jnp.where(input > 0, input, alpha * jnp.expm1(jnp.where(input > 0, 0, input) / alpha))


def _selu(input: Any) -> Any:
    return 1.0507009873554804934193349852946 * _elu(input, 1.6732632423543772848170429916717)


def _hardtanh(input: Any, min_val: Any = -1.0, max_val: Any = 1.0) -> Any:
    return jnp.where(input <= min_val, min_val, jnp.where(input >= max_val, max_val, input))


def _hardsigmoid(input: Any) -> Any:
    return jnp.where(input <= -3, 0, jnp.where(input >= 3, 1, input / 6 + 0.5))


def _hardswish(input: Any) -> Any:
    return jnp.where(input <= -3, 0, jnp.where(input >= 3, input, input * (input + 3) / 6))


def _glu(input: Any, dim: int = -1) -> Any:
    if input.shape[dim] % 2:
        raise ValueError(f"glu: an even number of elements is needed, got {input.shape[dim]}.")
    a, b = jnp.split(input, 2, dim)
    return a * nn.sigmoid(b)


def _prelu(input: Any, weight: Any) -> Any:
    shape = [-1 if i == min(1, jnp.ndim(input) - 1) else 1 for i in range(jnp.ndim(input))]
    return jnp.where(input > 0, input, jnp.reshape(weight, shape if jnp.size(weight) > 1 else ()) * input)


def _threshold(input: Any, threshold: Any, value: Any) -> Any:
    return jnp.where(input > threshold, input, value)


TABLE: dict[str, Row] = rows({
    "relu": lambda input: nn.relu(input),
    "relu6": lambda input: _hardtanh(input, 0.0, 6.0),
    "leaky_relu": lambda input, negative_slope=0.01: _kinks.leaky_relu(input, negative_slope),
    "elu": _elu,
    "celu": _celu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": lambda input: nn.silu(input),
    "mish": lambda input: nn.mish(input),
    "softplus": _softplus,
    "softsign": lambda input: input / (1 + _kinks.abs(input)),
    "tanh": lambda input: jnp.tanh(input),
    "tanhshrink": lambda input: input - jnp.tanh(input),
    "sigmoid": lambda input: nn.sigmoid(input),
    "logsigmoid": lambda input: nn.log_sigmoid(input),
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "hardshrink": lambda input, lambd=0.5: jnp.where(_kinks.abs(input) > lambd, input, 0),
    "softshrink": lambda input, lambd=0.5: jnp.where(
        input > lambd, input - lambd, jnp.where(input < -lambd, input + lambd, 0)),
    "threshold": _threshold,
    "glu": _glu,
    "prelu": _prelu,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "softmin": lambda input, dim=None, *, dtype=None: softmax(-input, dim, dtype=dtype),
})  # fmt: skip
