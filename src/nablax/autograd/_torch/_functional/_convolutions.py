"""Convolutions, of (batch, channels, ...) or (channels, ...), and their transposes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..._tensor._torch._rows import Row, many, rows


def _conv(n: int) -> Callable[..., Any]:
    letters = "NC" + "DHW"[3 - n :], "OI" + "DHW"[3 - n :], "NC" + "DHW"[3 - n :]

    def fn(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:  # fmt: skip
        x = input[None] if jnp.ndim(input) == n + 1 else input
        edges = padding.upper() if isinstance(padding, str) else [(p, p) for p in many(padding, n)]
        if edges == "SAME":
            total = [d * (k - 1) for d, k in zip(many(dilation, n), weight.shape[2:], strict=True)]
            edges = [(t // 2, t - t // 2) for t in total]
        y = jax.lax.conv_general_dilated(
            x, weight, many(stride, n), edges, rhs_dilation=many(dilation, n), dimension_numbers=letters,
            feature_group_count=groups,
        )  # fmt: skip
        y = y if bias is None else y + bias.reshape(-1, *[1] * n)
        return y[0] if jnp.ndim(input) == n + 1 else y

    return fn


def _conv_transpose(n: int) -> Callable[..., Any]:
    letters = "NC" + "DHW"[3 - n :], "OI" + "DHW"[3 - n :], "NC" + "DHW"[3 - n :]

    def fn(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
           groups: int = 1, dilation: Any = 1) -> Any:  # fmt: skip
        x = input[None] if jnp.ndim(input) == n + 1 else input
        edges = [
            (d * (k - 1) - p, d * (k - 1) - p + o)
            for d, k, p, o in zip(many(dilation, n), weight.shape[2:], many(padding, n), many(output_padding, n),
                                  strict=True)
        ]  # fmt: skip
        flipped = jnp.flip(weight, tuple(range(2, 2 + n)))
        i, o, *k = flipped.shape
        flipped = (
            flipped.reshape(groups, i // groups, o, *k).swapaxes(1, 2).reshape(groups * o, i // groups, *k)
        )
        y = jax.lax.conv_general_dilated(
            x, flipped, (1,) * n, edges, lhs_dilation=many(stride, n), rhs_dilation=many(dilation, n),
            dimension_numbers=letters, feature_group_count=groups,
        )  # fmt: skip
        y = y if bias is None else y + bias.reshape(-1, *[1] * n)
        return y[0] if jnp.ndim(input) == n + 1 else y

    return fn


TABLE: dict[str, Row] = rows({
    "conv1d": _conv(1),
    "conv2d": _conv(2),
    "conv3d": _conv(3),
    "conv_transpose1d": _conv_transpose(1),
    "conv_transpose2d": _conv_transpose(2),
})  # fmt: skip
