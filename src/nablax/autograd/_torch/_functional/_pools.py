"""The largest and the mean of windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._tensor._torch._rows import Row, many, rows


def _windows(n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, ...]:
    size = many(kernel_size, n)
    steps = size if stride is None else many(stride, n)
    return size, steps, many(padding, n), many(dilation, n)


def _more(length: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """Padding at the end that lets a last window in that begins inside."""
    if not ceil_mode:
        return 0
    span = d * (k - 1) + 1
    count = -(-(length + 2 * p - span) // s) + 1
    if (count - 1) * s >= length + p:
        count -= 1
    return max((count - 1) * s + span - length - 2 * p, 0)


def _max_pool(n: int) -> Callable[..., Any]:
    def fn(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
           ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
        if return_indices:
            raise ValueError("max_pool: return_indices must be False; indices are not computed.")
        size, steps, edges, apart = _windows(n, kernel_size, stride, padding, dilation)
        lead = jnp.ndim(input) - n
        pads = [
            (p, p + _more(length, k, s, p, d, ceil_mode))
            for length, k, s, p, d in zip(input.shape[lead:], size, steps, edges, apart, strict=True)
        ]
        if any(d != 1 for d in apart):
            return _max_apart(input, size, steps, pads, apart)
        lowest = -np.inf if jnp.issubdtype(input.dtype, jnp.floating) else jnp.iinfo(input.dtype).min
        return jax.lax.reduce_window(
            input, np.asarray(lowest, input.dtype), jax.lax.max, (1,) * lead + size, (1,) * lead + steps,
            ((0, 0),) * lead + tuple(pads),
        )  # fmt: skip

    return fn


def _max_apart(x: Any, size: Any, steps: Any, pads: Any, apart: Any) -> Any:
    """Maxima of windows with gaps, one axis after the other; JAX has no derivative of these at once."""
    lead = jnp.ndim(x) - len(size)
    axes = [*enumerate(zip(size, steps, pads, apart, strict=True), lead)]
    for along, (k, s, (low, high), d) in reversed(
        axes
    ):  # so that the first of equal ones is that of the window
        widths = [(low, high) if i == along else (0, 0) for i in range(jnp.ndim(x))]
        x = jnp.pad(x, widths, constant_values=-np.inf)
        starts = np.arange(0, x.shape[along] - d * (k - 1), s)
        at = starts[:, None] + d * np.arange(k)
        x = _first_of_largest(jnp.take(x, at, along), along + 1)
    return x


def _first_of_largest(x: Any, axis: int, keepdims: bool = False) -> Any:
    """Maxima along an axis; of equal ones the first takes the gradient, as in windows without gaps."""
    at = jnp.expand_dims(jnp.argmax(x, axis), axis)
    found = jnp.take_along_axis(x, at, axis)
    return found if keepdims else jnp.squeeze(found, axis)


def _avg_pool(n: int) -> Callable[..., Any]:
    def fn(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
           count_include_pad: bool = True, divisor_override: Any = None) -> Any:  # fmt: skip
        size, steps, edges, _ = _windows(n, kernel_size, stride, padding, 1)
        lead = jnp.ndim(input) - n
        more = [
            _more(length, k, s, p, 1, ceil_mode)
            for length, k, s, p in zip(input.shape[lead:], size, steps, edges, strict=True)
        ]

        def total(x: Any, pads: Any) -> Any:
            return jax.lax.reduce_window(
                x, np.asarray(0, x.dtype), jax.lax.add, (1,) * lead + size, (1,) * lead + steps,
                ((0, 0),) * lead + tuple(pads),
            )  # fmt: skip

        sums = total(input, [(p, p + m) for p, m in zip(edges, more, strict=True)])
        if divisor_override is not None:
            return sums / divisor_override
        ones = np.ones(input.shape[lead:], input.dtype)
        if count_include_pad:
            ones = np.pad(ones, [(p, p) for p in edges], constant_values=1)
            pads = [(0, m) for m in more]
        else:
            pads = [(p, p + m) for p, m in zip(edges, more, strict=True)]
        return sums / total(jnp.asarray(ones).reshape((1,) * lead + ones.shape), pads)

    return fn


def _adaptive(n: int, pick: Callable[..., Any]) -> Callable[..., Any]:
    def fn(input: Any, output_size: Any) -> Any:
        lead = jnp.ndim(input) - n
        wanted = many(output_size, n) if output_size is not None else (None,) * n
        x = input
        for axis, size in reversed([*enumerate(wanted, lead)]):
            length = x.shape[axis]
            size = length if size is None else size
            parts = [
                pick(
                    jax.lax.slice_in_dim(x, i * length // size, -(-(i + 1) * length // size), axis=axis), axis
                )
                for i in range(size)
            ]
            x = jnp.concatenate(parts, axis)
        return x

    return fn


TABLE: dict[str, Row] = rows({
    "max_pool1d": _max_pool(1),
    "max_pool2d": Row(
        _max_pool(2), differs="values only; JAX's gradient where a window has NaN, or only -inf and padding"
    ),
    "max_pool3d": _max_pool(3),
    "avg_pool1d": _avg_pool(1),
    "avg_pool2d": _avg_pool(2),
    "adaptive_avg_pool1d": _adaptive(1, lambda x, axis: x.mean(axis, keepdims=True)),
    "adaptive_avg_pool2d": _adaptive(2, lambda x, axis: x.mean(axis, keepdims=True)),
    "adaptive_max_pool2d": _adaptive(2, lambda x, axis: _first_of_largest(x, axis, keepdims=True)),
})  # fmt: skip
