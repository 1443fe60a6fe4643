"""Attention with several heads, and the transformer made of it (Vaswani et al. 2017, arXiv:1706.03762). Shapes, names
and beginnings of parameters are torch's, and so is what a mask means: True, or -inf, is what must not be looked at."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._tensor._namespaces import numpy
from .._tensor._torch._making import make as tensor
from . import _init
from ._containers import ModuleList
from ._layers import Dropout, F, Linear, zeros
from ._module import Module
from ._normalizing import LayerNorm


def _later(queries: int, keys: int) -> np.ndarray:
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
            attn_mask = _later(queries, keys)
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


class _Layer(Module):
    """What an encoder's layer and a decoder's share: attentions, then two linear layers, each beside a sum."""

    attentions: tuple[str, ...] = ()
    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: Any = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        if isinstance(activation, str) and activation not in ("relu", "gelu"):
            raise ValueError(
                f"{type(self).__name__}: activation must be 'relu', 'gelu' or a function, got {activation!r}."
            )
        for name in self.attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first))
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        for i in range(1, len(self.attentions) + 2):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias))
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.norm_first = norm_first
        self.activation = F[activation] if isinstance(activation, str) else activation

    def _beside(self, x: Any, i: int, change: Callable[[Any], Any]) -> Any:
        """x plus its change, normalised before or after."""
        norm, drop = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
        return x + drop(change(norm(x))) if self.norm_first else norm(x + drop(change(x)))

    def _forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers, each beside a sum and normalised after it, or before (norm_first)."""

    attentions = ("self_attn",)

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
                is_causal: bool = False) -> Any:  # fmt: skip
        x = self._beside(
            src,
            1,
            lambda x: self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[0],
        )
        return self._beside(x, 2, self._forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to what was encoded, and two linear layers."""

    attentions = ("self_attn", "multihead_attn")

    def forward(self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
                tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
                tgt_is_causal: bool = False, memory_is_causal: bool = False) -> Any:  # fmt: skip
        def itself(x: Any) -> Any:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)[0]

        def encoded(x: Any) -> Any:
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask, is_causal=memory_is_causal
            )[0]

        x = self._beside(self._beside(tgt, 1, itself), 2, encoded)
        return self._beside(x, 3, self._forward)


class _Stack(Module):
    """Copies of a layer, one after the other."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None, **unused: Any) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def _through(self, x: Any, *args: Any) -> Any:
        for layer in self.layers:
            x = layer(x, *args)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """So many copies of an encoder's layer."""

    def forward(self, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
                is_causal: bool | None = None) -> Any:  # fmt: skip
        return self._through(src, mask, src_key_padding_mask, bool(is_causal))


class TransformerDecoder(_Stack):
    """So many copies of a decoder's layer."""

    def forward(self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
                tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
                tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Any:  # fmt: skip
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self._through(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)


class Transformer(Module):
    """An encoder, and a decoder that looks at what it made."""

    def __init__(self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
                 dim_feedforward: int = 2048, dropout: float = 0.1, activation: Any = "relu",
                 custom_encoder: Any = None, custom_decoder: Any = None, layer_norm_eps: float = 1e-5,
                 batch_first: bool = False, norm_first: bool = False, bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        shared = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*shared),
            num_encoder_layers,
            LayerNorm(d_model, layer_norm_eps, bias=bias),
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*shared),
            num_decoder_layers,
            LayerNorm(d_model, layer_norm_eps, bias=bias),
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                _init.xavier_uniform_(parameter)

    def forward(self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None, memory_mask: Any = None,
                src_key_padding_mask: Any = None, tgt_key_padding_mask: Any = None,
                memory_key_padding_mask: Any = None, src_is_causal: bool | None = None,
                tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Any:  # fmt: skip
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """A mask of shape (sz, sz) that hides what comes later: -inf there, 0 elsewhere."""
        mask = np.where(_later(sz, sz), -np.inf, 0).astype(np.float32)
        return tensor(mask, dtype, False, device)
