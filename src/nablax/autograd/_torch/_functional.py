"""torch.nn.functional: activations, layers and losses as functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._tensor import _kinks
from .._tensor._lift import lifted
from .._tensor._namespaces import numpy
from .._tensor._torch._random import noise
from .._tensor._torch._reductions import TABLE as REDUCTIONS
from .._tensor._torch._rows import Row, ints, rows

nn = jax.nn


# -- activations ------------------------------------------------------------------------------------------------------


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


def _normalize(input: Any, p: Any = 2.0, dim: Any = 1, eps: Any = 1e-12) -> Any:
    return input / jnp.maximum(REDUCTIONS["norm"].fn(input, p, dim, True), eps)


def _cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: Any = 1e-8) -> Any:
    norm = REDUCTIONS["norm"].fn
    return (x1 * x2).sum(dim) / (jnp.maximum(norm(x1, 2, dim), eps) * jnp.maximum(norm(x2, 2, dim), eps))


# -- layers -----------------------------------------------------------------------------------------------------------


def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    y = input @ weight.T
    return y if bias is None else y + bias


def _bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    y = jnp.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


def _one_hot(input: Any, num_classes: int) -> Any:
    return nn.one_hot(input, num_classes, dtype=jnp.int_)


def _embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    if padding_idx is not None:
        weight = weight.at[padding_idx].set(jax.lax.stop_gradient(weight[padding_idx]))
    return jnp.take(weight, input, axis=0)


def _many(value: Any, n: int) -> tuple[int, ...]:
    return (int(value),) * n if isinstance(value, int | np.integer) else tuple(value)


def _conv(n: int) -> Callable[..., Any]:
    letters = "NC" + "DHW"[3 - n :], "OI" + "DHW"[3 - n :], "NC" + "DHW"[3 - n :]

    def fn(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
           groups: int = 1) -> Any:  # fmt: skip
        x = input[None] if jnp.ndim(input) == n + 1 else input
        edges = padding.upper() if isinstance(padding, str) else [(p, p) for p in _many(padding, n)]
        if edges == "SAME":
            total = [d * (k - 1) for d, k in zip(_many(dilation, n), weight.shape[2:], strict=True)]
            edges = [(t // 2, t - t // 2) for t in total]
        y = jax.lax.conv_general_dilated(
            x, weight, _many(stride, n), edges, rhs_dilation=_many(dilation, n), dimension_numbers=letters,
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
            for d, k, p, o in zip(_many(dilation, n), weight.shape[2:], _many(padding, n), _many(output_padding, n),
                                  strict=True)
        ]  # fmt: skip
        flipped = jnp.flip(weight, tuple(range(2, 2 + n)))
        i, o, *k = flipped.shape
        flipped = (
            flipped.reshape(groups, i // groups, o, *k).swapaxes(1, 2).reshape(groups * o, i // groups, *k)
        )
        y = jax.lax.conv_general_dilated(
            x, flipped, (1,) * n, edges, lhs_dilation=_many(stride, n), rhs_dilation=_many(dilation, n),
            dimension_numbers=letters, feature_group_count=groups,
        )  # fmt: skip
        y = y if bias is None else y + bias.reshape(-1, *[1] * n)
        return y[0] if jnp.ndim(input) == n + 1 else y

    return fn


def _windows(n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, ...]:
    size = _many(kernel_size, n)
    steps = size if stride is None else _many(stride, n)
    return size, steps, _many(padding, n), _many(dilation, n)


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
    for along, (k, s, (low, high), d) in enumerate(zip(size, steps, pads, apart, strict=True), lead):
        widths = [(low, high) if i == along else (0, 0) for i in range(jnp.ndim(x))]
        x = jnp.pad(x, widths, constant_values=-np.inf)
        starts = np.arange(0, x.shape[along] - d * (k - 1), s)
        at = starts[:, None] + d * np.arange(k)
        x = jnp.take(x, at, along).max(along + 1)
    return x


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
        wanted = _many(output_size, n) if output_size is not None else (None,) * n
        x = input
        for axis, size in enumerate(wanted, lead):
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


def _instance_norm(input: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5) -> Any:
    x = _standard(input, tuple(range(2, jnp.ndim(input))), eps)
    return _scaled(x, weight, bias, _channels(input))


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
    return jnp.matmul(nn.softmax(scores, -1), value)


def _interpolate(input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest") -> Any:
    n = jnp.ndim(input) - 2
    if mode != "nearest":
        raise ValueError(
            f"interpolate: mode must be 'nearest', got {mode!r}; autograd.lift(jax.image.resize) has others."
        )
    if size is None:
        factors = (scale_factor,) * n if isinstance(scale_factor, int | float) else scale_factor
        size = tuple(int(length * f) for length, f in zip(input.shape[2:], factors, strict=True))
    for axis, wanted in enumerate(_many(size, n), 2):
        input = jnp.take(input, np.arange(wanted) * input.shape[axis] // wanted, axis)
    return input


def _pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    r = upscale_factor
    *lead, c, h, w = input.shape
    x = input.reshape(*lead, c // r**2, r, r, h, w)
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.transpose(order).reshape(*lead, c // r**2, h * r, w * r)


# -- losses -----------------------------------------------------------------------------------------------------------


def _reduced(each: Any, reduction: str, name: str) -> Any:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")
    return each.mean() if reduction == "mean" else each.sum() if reduction == "sum" else each


def _loss(name: str, of: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of an element and its target."""

    def fn(input: Any, target: Any, *, reduction: str = "mean") -> Any:
        if jnp.shape(input) != jnp.shape(target):
            raise ValueError(
                f"{name}: input and target must be of one shape, got {jnp.shape(input)} and {jnp.shape(target)}."
            )
        return _reduced(of(input, target), reduction, name)

    return fn


def _huber(input: Any, target: Any, *, reduction: str = "mean", delta: Any = 1.0) -> Any:
    gap = _kinks.abs(input - target)
    return _reduced(
        jnp.where(gap < delta, 0.5 * gap**2, delta * (gap - 0.5 * delta)), reduction, "huber_loss"
    )


def _smooth_l1(input: Any, target: Any, *, reduction: str = "mean", beta: Any = 1.0) -> Any:
    gap = _kinks.abs(input - target)
    each = gap if beta == 0 else jnp.where(gap < beta, 0.5 * gap**2 / beta, gap - 0.5 * beta)
    return _reduced(each, reduction, "smooth_l1_loss")


def _nll(
    input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    axis = 1 if jnp.ndim(input) > 1 else 0
    kept = target != ignore_index
    at = jnp.where(kept, target, 0)
    each = -jnp.take_along_axis(input, jnp.expand_dims(at, axis), axis).squeeze(axis)
    share = kept.astype(input.dtype) if weight is None else jnp.where(kept, weight[at], 0)
    each = jnp.where(kept, each * share, 0)
    return each.sum() / share.sum() if reduction == "mean" else _reduced(each, reduction, "nll_loss")


def _cross_entropy(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100,
                   reduction: str = "mean", label_smoothing: Any = 0.0) -> Any:  # fmt: skip
    axis = 1 if jnp.ndim(input) > 1 else 0
    if jnp.shape(target) == jnp.shape(input):  # probabilities
        k = input.shape[axis]
        logs = nn.log_softmax(input, axis)
        smooth = target * (1 - label_smoothing) + label_smoothing / k
        shape = [-1 if i == axis else 1 for i in range(jnp.ndim(input))]
        each = -(logs * smooth * (1 if weight is None else weight.reshape(shape))).sum(axis)
        return (
            each.sum() / max(each.size, 1)
            if reduction == "mean"
            else _reduced(each, reduction, "cross_entropy")
        )
    if not jnp.issubdtype(jnp.result_type(target), jnp.integer):
        raise TypeError(
            f"cross_entropy: target must hold class numbers (integers, one for each row of logits) "
            f"or probabilities of shape {input.shape}, got {jnp.result_type(target)} of shape {jnp.shape(target)}."
        )
    logs = nn.log_softmax(input, axis)
    hard = _nll(logs, target, weight, ignore_index=ignore_index, reduction=reduction)
    if isinstance(label_smoothing, int | float) and label_smoothing == 0:
        return hard
    kept = target != ignore_index
    shape = [-1 if i == axis else 1 for i in range(jnp.ndim(input))]
    each = jnp.where(kept, -(logs * (1 if weight is None else weight.reshape(shape))).sum(axis), 0)
    if reduction == "mean":
        share = kept if weight is None else jnp.where(kept, weight[jnp.where(kept, target, 0)], 0)
        soft = each.sum() / share.sum()
    else:
        soft = _reduced(each, reduction, "cross_entropy")
    return (1 - label_smoothing) * hard + label_smoothing / input.shape[axis] * soft


def _log(x: Any) -> Any:
    return jnp.maximum(jnp.log(x), -100)


def _bce(input: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    each = -(target * _log(input) + (1 - target) * _log(1 - input))
    return _reduced(each if weight is None else each * weight, reduction, "binary_cross_entropy")


def _bce_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    if jnp.shape(input) != jnp.shape(target):
        raise ValueError(
            f"binary_cross_entropy_with_logits: input and target must be of one shape, got {jnp.shape(input)} and "
            f"{jnp.shape(target)}."
        )
    up = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    each = (1 - target) * input + up * nn.softplus(-input)
    return _reduced(each if weight is None else each * weight, reduction, "binary_cross_entropy_with_logits")


def _kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    each = (
        jnp.exp(target) * (target - input)
        if log_target
        else jax.scipy.special.xlogy(target, target) - target * input
    )
    return each.sum() / input.shape[0] if reduction == "batchmean" else _reduced(each, reduction, "kl_div")


def _margin_ranking(
    input1: Any, input2: Any, target: Any, margin: Any = 0.0, *, reduction: str = "mean"
) -> Any:
    return _reduced(nn.relu(-target * (input1 - input2) + margin), reduction, "margin_ranking_loss")


def _hinge_embedding(input: Any, target: Any, margin: Any = 1.0, *, reduction: str = "mean") -> Any:
    each = jnp.where(target == 1, input, nn.relu(margin - input))
    return _reduced(each, reduction, "hinge_embedding_loss")


def _cosine_embedding(
    input1: Any, input2: Any, target: Any, margin: Any = 0.0, *, reduction: str = "mean"
) -> Any:
    near = _cosine_similarity(input1, input2, -1)
    return _reduced(
        jnp.where(target == 1, 1 - near, nn.relu(near - margin)), reduction, "cosine_embedding_loss"
    )


def _pairwise_distance(x1: Any, x2: Any, p: Any = 2.0, eps: Any = 1e-6, keepdim: bool = False) -> Any:
    return REDUCTIONS["norm"].fn(x1 - x2 + eps, p, -1, keepdim)


def _triplet_margin(anchor: Any, positive: Any, negative: Any, margin: Any = 1.0, p: Any = 2.0, eps: Any = 1e-6,
                    swap: bool = False, *, reduction: str = "mean") -> Any:  # fmt: skip
    far = _pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = jnp.minimum(far, _pairwise_distance(positive, negative, p, eps))
    return _reduced(nn.relu(_pairwise_distance(anchor, positive, p, eps) - far + margin), reduction,
                    "triplet_margin_loss")  # fmt: skip


def _poisson_nll(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: Any = 1e-8,
    reduction: str = "mean",
) -> Any:
    each = jnp.exp(input) - target * input if log_input else input - target * jnp.log(input + eps)
    if full:  # Stirling's formula for the logarithm of the factorial
        more = target * jnp.log(target) - target + 0.5 * jnp.log(2 * jnp.pi * target)
        each = each + jnp.where(target > 1, more, 0)
    return _reduced(each, reduction, "poisson_nll_loss")


def _gaussian_nll(input: Any, target: Any, var: Any, full: bool = False, *, eps: Any = 1e-6,
                  reduction: str = "mean") -> Any:  # fmt: skip
    var = jnp.broadcast_to(jnp.maximum(jnp.asarray(var), eps), input.shape)
    each = 0.5 * (jnp.log(var) + (input - target) ** 2 / var) + (0.5 * math.log(2 * math.pi) if full else 0)
    return _reduced(each, reduction, "gaussian_nll_loss")


# -- what draws random numbers, or reads values ------------------------------------------------------------------------


def _dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must lie in [0, 1], got {p}.")
    if not training or p == 0:
        return input
    return input * _kept(input.shape, p, input.dtype)


def _kept(shape: Any, p: float, dtype: Any) -> np.ndarray:
    """1 / (1 - p) where an element is kept, 0 elsewhere."""
    kept = noise("random", tuple(shape), float) >= p
    return (kept / (1 - p) if p < 1 else kept * 0.0).astype(dtype)


def _dropout_channels(n: int) -> Callable[..., Any]:
    def fn(input: Any, p: float = 0.5, training: bool = True) -> Any:
        if not training or p == 0:
            return input
        lead = len(input.shape) - n
        return input * _kept((*input.shape[:lead], *[1] * n), p, input.dtype)

    return fn


def _one_hot_of(tensor: Any, num_classes: int = -1) -> Any:
    n = int(tensor.max()) + 1 if num_classes == -1 else num_classes
    return lifted(_one_hot, "one_hot", ("F", "one_hot"))(tensor, num_classes=n)


def _gumbel_softmax(logits: Any, tau: Any = 1, hard: bool = False, *, dim: int = -1) -> Any:
    drawn = -np.log(-np.log(noise("random", tuple(logits.shape), float) + 1e-20) + 1e-20)
    soft = ((logits + drawn.astype(logits.dtype)) / tau).softmax(dim)
    if not hard:
        return soft
    top = soft.detach().argmax(dim, keepdim=True)
    return numpy.zeros_like(soft.detach()).scatter(dim, top, 1.0) - soft.detach() + soft


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
    "softmax": REDUCTIONS["softmax"].fn,
    "log_softmax": REDUCTIONS["log_softmax"].fn,
    "softmin": lambda input, dim=None, *, dtype=None: REDUCTIONS["softmax"].fn(-input, dim, dtype=dtype),
    "normalize": _normalize,
    "cosine_similarity": _cosine_similarity,
    "pairwise_distance": _pairwise_distance,
    "linear": _linear,
    "bilinear": _bilinear,
    "embedding": Row(_embedding, differs="an index out of range gives NaN, as in JAX"),
    "conv1d": _conv(1),
    "conv2d": _conv(2),
    "conv3d": _conv(3),
    "conv_transpose1d": _conv_transpose(1),
    "conv_transpose2d": _conv_transpose(2),
    "max_pool1d": _max_pool(1),
    "max_pool2d": Row(_max_pool(2), differs="values only; equal maxima of a window: the first takes the gradient"),
    "max_pool3d": _max_pool(3),
    "avg_pool1d": _avg_pool(1),
    "avg_pool2d": _avg_pool(2),
    "adaptive_avg_pool1d": _adaptive(1, lambda x, axis: x.mean(axis, keepdims=True)),
    "adaptive_avg_pool2d": _adaptive(2, lambda x, axis: x.mean(axis, keepdims=True)),
    "adaptive_max_pool2d": _adaptive(2, lambda x, axis: x.max(axis, keepdims=True)),
    "pad": _pad,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "batch_norm": Row(_batch_norm, differs="leaves running_mean and running_var as they are; modules do not"),
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "scaled_dot_product_attention": _attention,
    "interpolate": Row(_interpolate, differs="mode='nearest' only"),
    "pixel_shuffle": _pixel_shuffle,
    "mse_loss": Row(_loss("mse_loss", lambda x, y: jnp.square(x - y)),
                    differs="raises where the shapes differ, where torch warns and broadcasts"),
    "l1_loss": _loss("l1_loss", lambda x, y: _kinks.abs(x - y)),
    "smooth_l1_loss": _smooth_l1,
    "huber_loss": _huber,
    "nll_loss": _nll,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_logits,
    "kl_div": _kl_div,
    "margin_ranking_loss": _margin_ranking,
    "hinge_embedding_loss": _hinge_embedding,
    "cosine_embedding_loss": _cosine_embedding,
    "triplet_margin_loss": _triplet_margin,
    "poisson_nll_loss": _poisson_nll,
    "gaussian_nll_loss": _gaussian_nll,
    "soft_margin_loss": _loss("soft_margin_loss", lambda x, y: jnp.log1p(jnp.exp(-y * x))),
}) | rows({
    "dropout": Row(_dropout, differs="random numbers of its own"),
    "dropout1d": _dropout_channels(1),
    "dropout2d": _dropout_channels(2),
    "one_hot": _one_hot_of,
    "gumbel_softmax": Row(_gumbel_softmax, differs="random numbers of its own"),
}, direct=True)  # fmt: skip
