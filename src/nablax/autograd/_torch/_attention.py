"""Attention with several heads (Vaswani et al. 2017, arXiv:1706.03762). Shapes, names and beginnings of parameters are
torch's, and so is what a mask means: True, or -inf, is what must not be looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._tensor._namespaces import numpy
from . import _init
from ._layers import F, Linear, zeros
from ._module import Module
from ._moving import placed


def later(queries: int, keys: int) -> np.ndarray:
    """What comes after each place: True above the diagonal."""
    return np.triu(np.ones((queries, keys), bool), 1)


def _hidden(scores: Any, name: str, mask: Any, *shapes: tuple[int, ...]) -> Any:
    """Scores, -inf where a mask is True; a mask of floating numbers is added.

    Args:
      name: of the argument.
      shapes: the mask's, one of these, and that in which it meets the scores, the last.

    Raises:
      ValueError: the mask is of another shape, or neither of truth values nor of floating numbers.
    """
    if tuple(mask.shape) not in shapes[:-1]:
        allowed = " or ".join(map(str, shapes[:-1]))
        raise ValueError(f"MultiheadAttention: {name} must be of shape {allowed}, got {tuple(mask.shape)}.")
    mask = mask.reshape(shapes[-1])
    if np.dtype(mask.dtype) == bool:
        return numpy.where(mask, -np.inf, scores)
    if np.dtype(mask.dtype).kind in "iuc":
        raise ValueError(
            f"MultiheadAttention: {name} must hold truth values, True for what is hidden, or floating numbers, got "
            f"{mask.dtype}."
        )
    return scores + mask


@placed
class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(width of a head)) v in several heads; in_proj_weight (3 embed, embed), or q_proj_weight,
    k_proj_weight and v_proj_weight where keys or values have a width of their own; out_proj is linear. add_bias_kv puts
    a learned key and value (bias_k, bias_v) behind the others, add_zero_attn a key and value of zeros.

    `forward(query, key, value)` gives the output and the weights, averaged over heads. Shapes are (length, batch,
    embed), with batch_first (batch, length, embed), or (length, embed).
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False) -> None:  # fmt: skip
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim must be a multiple of num_heads, got {embed_dim} and {num_heads}."
            )
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = (
            embed_dim,
            num_heads,
            dropout,
            batch_first,
        )
        self.head_dim = embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        widths = (embed_dim, self.kdim, self.vdim)
        self.in_proj_weight = self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        if widths == (embed_dim,) * 3:
            self.in_proj_weight = _init.xavier_uniform_(zeros((3 * embed_dim, embed_dim)))
        else:
            for name, width in zip("qkv", widths, strict=True):
                setattr(self, f"{name}_proj_weight", _init.xavier_uniform_(zeros((embed_dim, width))))
        self.in_proj_bias = zeros(3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        if bias:
            _init.zeros_(self.out_proj.bias)
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            self.bias_k, self.bias_v = (_init.xavier_normal_(zeros((1, 1, embed_dim))) for _ in range(2))
        self.add_zero_attn = add_zero_attn

    def forward(self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
                attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False) -> Any:  # fmt: skip
        """The output, and the weights (None unless need_weights).

        Args:
          query, key, value: see the class.
          key_padding_mask: (batch, keys), or (keys,).
          need_weights, average_attn_weights: whether weights are returned, and as their mean over heads.
          attn_mask: (queries, keys), or (batch * heads, queries, keys).
          is_causal: each looks at no later place; with an attn_mask, that says all.
        """
        alone = query.ndim == 2
        axis = 0 if self.batch_first or alone else 1
        q, k, v = (x[None] if alone else x.swapaxes(0, axis) for x in (query, key, value))
        q, k, v = (self._heads(x, i) for i, x in enumerate((q, k, v)))
        scores = (q / math.sqrt(self.head_dim)) @ k.swapaxes(-1, -2)
        n, heads, queries, keys = scores.shape
        if attn_mask is None and is_causal:
            attn_mask = later(queries, keys)
        if attn_mask is not None:
            whole = (n * heads, queries, keys)
            at = scores.shape if attn_mask.ndim == 3 else (1, 1, queries, keys)
            scores = _hidden(scores, "attn_mask", attn_mask, (queries, keys), whole, at)
        if key_padding_mask is not None:
            shape = (keys,) if alone else (n, keys)
            scores = _hidden(scores, "key_padding_mask", key_padding_mask, shape, (n, 1, 1, keys))
        for more_k, more_v in self._more():
            beside = (q * more_k).sum(-1, keepdim=True) / math.sqrt(self.head_dim)
            scores = numpy.concatenate([scores, beside], -1)
            v = numpy.concatenate([v, numpy.broadcast_to(more_v, (n, heads, 1, self.head_dim))], -2)
        weights = scores.softmax(-1)
        read = F["dropout"](weights, self.dropout, self.training) @ v
        out = self.out_proj(read.swapaxes(1, 2).reshape(*read.shape[:1], read.shape[2], self.embed_dim))
        out = out[0] if alone else out.swapaxes(0, axis)
        if not need_weights:
            return out, None
        weights = weights.mean(1) if average_attn_weights else weights
        return out, weights[0] if alone else weights

    def _more(self) -> Iterator[tuple[Any, Any]]:
        """Keys and values behind those of the call, (1, heads, 1, width) each."""
        shape = (1, self.num_heads, 1, self.head_dim)
        bias_k: Any = self.bias_k
        bias_v: Any = self.bias_v
        if bias_k is not None:
            yield bias_k.reshape(shape), bias_v.reshape(shape)
        if self.add_zero_attn:
            none = np.zeros(shape, self.out_proj.weight.dtype)
            yield none, none

    def _heads(self, x: Any, i: int) -> Any:
        """Queries (0), keys (1) or values (2) as (batch, heads, length, width)."""
        n = self.embed_dim
        part = slice(i * n, (i + 1) * n)
        whole: Any = self.in_proj_weight
        weight: Any = (
            (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[i] if whole is None else whole[part]
        )
        y = x @ weight.T
        y = y if self.in_proj_bias is None else y + self.in_proj_bias[part]
        return y.reshape(*y.shape[:2], self.num_heads, self.head_dim).swapaxes(1, 2)
