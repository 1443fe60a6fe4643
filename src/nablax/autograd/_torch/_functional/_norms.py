"""Normalisation: mean 0 and variance 1 over some axes, then a weight and a bias."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._tensor._torch._rows import Row, ints, rows


def _layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5
) -> Any:
    over = tuple(range(-len(ints((normalized_shape,))), 0))
    if tuple(input.shape[over[0] :]) != ints((normalized_shape,)):
        raise ValueError(
            f"layer_norm: the last axes must be {ints((normalized_shape,))}, got shape {input.shape}."
        )
    return _scaled(_standard(input, over, eps), weight, bias)


def _standard(x: Any, over: Any, eps: Any) -> Any:
    mean = x.mean(over, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(x.var(over, keepdims=True) + eps)


def _scaled(x: Any, weight: Any, bias: Any, shape: Any = None) -> Any:
    if weight is not None:
        x = x * (weight if shape is None else weight.reshape(shape))
    return x if bias is None else x + (bias if shape is None else bias.reshape(shape))


def _rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    over = tuple(range(-len(ints((normalized_shape,))), 0))
    eps = jnp.finfo(input.dtype).eps if eps is None else eps
    return _scaled(input * jax.lax.rsqrt(jnp.square(input).mean(over, keepdims=True) + eps), weight, None)


def _channels(input: Any) -> tuple[int, ...]:
    return (1, -1, *[1] * (jnp.ndim(input) - 2))


def _batch_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                training: bool = False, momentum: Any = 0.1, eps: Any = 1e-5) -> Any:  # fmt: skip
    shape = _channels(input)
    if training or running_mean is None:
        over = tuple(i for i in range(jnp.ndim(input)) if i != 1)
        x = _standard(input, over, eps)
    else:
        x = (input - running_mean.reshape(shape)) * jax.lax.rsqrt(running_var.reshape(shape) + eps)
    return _scaled(x, weight, bias, shape)


def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: Any = 1e-5) -> Any:
    x = input.reshape(input.shape[0], num_groups, -1)
    return _scaled(_standard(x, (-1,), eps).reshape(input.shape), weight, bias, _channels(input))


def _instance_norm(input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                   use_input_stats: bool = True, momentum: Any = 0.1, eps: Any = 1e-5) -> Any:  # fmt: skip
    if not use_input_stats:
        return _batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = _standard(input, tuple(range(2, jnp.ndim(input))), eps)
    return _scaled(x, weight, bias, _channels(input))


TABLE: dict[str, Row] = rows({
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "batch_norm": Row(_batch_norm, differs="leaves running_mean and running_var as they are; modules do not"),
    "group_norm": _group_norm,
    "instance_norm": Row(_instance_norm, differs="leaves running_mean and running_var as they are"),
})  # fmt: skip
