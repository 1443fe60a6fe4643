"""Products with weights, tables of vectors, attention; padding and resizing."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._tensor._torch._rows import Row, many, rows


def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    y = input @ weight.T
    return y if bias is None else y + bias


def _bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    y = jnp.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


def _embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    if padding_idx is not None:
        weight = weight.at[padding_idx].set(jax.lax.stop_gradient(weight[padding_idx]))
    return jnp.take(weight, input, axis=0)


_PADS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    widths = [(0, 0)] * jnp.ndim(input)
    for i in range(len(pad) // 2):
        widths[-1 - i] = (pad[2 * i], pad[2 * i + 1])
    if mode not in _PADS:
        raise ValueError(f"pad: mode must be one of {', '.join(_PADS)}, got {mode!r}.")
    if mode != "constant":
        return jnp.pad(input, widths, _PADS[mode])
    fill = jnp.asarray(0 if value is None else value, input.dtype)
    return jax.lax.pad(input, fill, [(a, b, 0) for a, b in widths])


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
               is_causal: bool = False, scale: Any = None) -> Any:  # fmt: skip
    if dropout_p:
        raise ValueError("scaled_dot_product_attention: dropout_p must be 0; apply dropout to the result.")
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = jnp.matmul(query * scale, key.swapaxes(-1, -2))
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None:
        scores = jnp.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    return jnp.matmul(jax.nn.softmax(scores, -1), value)


def _interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> Any:
    n = jnp.ndim(input) - 2
    if mode != "nearest":
        raise ValueError(
            f"interpolate: mode must be 'nearest', got {mode!r}; autograd.lift(jax.image.resize) has others."
        )
    if size is None:
        factors = (scale_factor,) * n if isinstance(scale_factor, int | float) else scale_factor
        size = tuple(int(length * f) for length, f in zip(input.shape[2:], factors, strict=True))
    for axis, wanted in enumerate(many(size, n), 2):
        input = jnp.take(input, np.arange(wanted) * input.shape[axis] // wanted, axis)
    return input


def _pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    r = upscale_factor
    *lead, c, h, w = input.shape
    x = input.reshape(*lead, c // r**2, r, r, h, w)
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.transpose(order).reshape(*lead, c // r**2, h * r, w * r)


TABLE: dict[str, Row] = rows({
    "linear": _linear,
    "bilinear": _bilinear,
    "embedding": Row(_embedding, within=lambda input, weight, *_, **__: ("input", input, 0, weight.shape[0], None)),
    "scaled_dot_product_attention": _attention,
    "pad": _pad,
    "interpolate": Row(_interpolate, differs="mode='nearest' only"),
    "pixel_shuffle": _pixel_shuffle,
})  # fmt: skip
