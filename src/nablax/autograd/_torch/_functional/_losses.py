"""Losses: one number, or with reduction='none' one for each example or element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..._tensor import _kinks
from ..._tensor._torch._bounds import Within
from ..._tensor._torch._rows import Row, rows
from ._distances import cosine_similarity, pairwise_distance

nn = jax.nn


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
    # A class that there is not gives NaN: one below 0 would be counted from the end.
    at = jnp.where(kept, jnp.where(target < 0, input.shape[axis], target), 0)
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
    near = cosine_similarity(input1, input2, -1)
    return _reduced(
        jnp.where(target == 1, 1 - near, nn.relu(near - margin)), reduction, "cosine_embedding_loss"
    )


def _triplet_margin(anchor: Any, positive: Any, negative: Any, margin: Any = 1.0, p: Any = 2.0, eps: Any = 1e-6,
                    swap: bool = False, *, reduction: str = "mean") -> Any:  # fmt: skip
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = jnp.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(nn.relu(pairwise_distance(anchor, positive, p, eps) - far + margin), reduction,
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


def _classes(input: Any, target: Any, *_: Any, ignore_index: int = -100, **__: Any) -> Within | None:
    shape = input.shape
    if target.shape == shape:  # probabilities
        return None
    return "target", target, 0, shape[1 if len(shape) > 1 else 0], ignore_index


TABLE: dict[str, Row] = rows({
    "mse_loss": Row(_loss("mse_loss", lambda x, y: jnp.square(x - y)),
                    differs="raises where the shapes differ, where torch warns and broadcasts"),
    "l1_loss": _loss("l1_loss", lambda x, y: _kinks.abs(x - y)),
    "smooth_l1_loss": _smooth_l1,
    "huber_loss": _huber,
    "nll_loss": Row(_nll, within=_classes),
    "cross_entropy": Row(_cross_entropy, within=_classes),
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
})  # fmt: skip
