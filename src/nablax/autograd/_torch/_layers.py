"""Layers: modules around the functions of nn.functional. Shapes, names and beginnings of parameters are torch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor._grad_mode import no_grad
from .._tensor._tensor import Parameter, Tensor, tensor
from .._tensor._torch._rows import ints, many, recorded, shown
from . import _init
from ._functional._table import TABLE as _ROWS
from ._module import Module

F: dict[str, Callable[..., Any]] = {name: recorded(name, row) for name, row in _ROWS.items()}


def uniform(shape: tuple[int, ...], bound: float) -> Any:
    """A parameter, uniform in [-bound, bound]."""
    return _init.uniform_(Parameter(np.zeros(shape, np.float32)), -bound, bound)


def _ones(n: Any) -> Any:
    return Parameter(np.ones(n, np.float32))


def _zeros(n: Any) -> Any:
    return Parameter(np.zeros(n, np.float32))


class Linear(Module):
    """y = x W^T + b; weight (out, in), bias (out), uniform within 1 / sqrt(in)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        self.weight = uniform((out_features, in_features), bound)
        self.bias = uniform((out_features,), bound) if bias else None

    def forward(self, input: Any) -> Any:
        y = input @ self.weight.T
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class _Conv(Module):
    n = 2

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = many(kernel_size, self.n), stride, padding
        self.dilation, self.groups = dilation, groups
        bound = 1 / math.sqrt(in_channels // groups * math.prod(self.kernel_size))
        self.weight = uniform((out_channels, in_channels // groups, *self.kernel_size), bound)
        self.bias = uniform((out_channels,), bound) if bias else None

    def forward(self, input: Any) -> Any:
        return F[f"conv{self.n}d"](
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )


class Conv1d(_Conv):
    """Convolution; weight (out, in / groups, k), bias (out)."""

    n = 1


class Conv2d(_Conv):
    """Convolution; weight (out, in / groups, k, k), bias (out)."""


class ConvTranspose2d(Module):
    """Transposed convolution; weight (in, out / groups, k, k), bias (out)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1) -> None:  # fmt: skip
        super().__init__()
        self.options = (stride, padding, output_padding, groups, dilation)
        size = many(kernel_size, 2)
        bound = 1 / math.sqrt(out_channels // groups * math.prod(size))
        self.weight = uniform((in_channels, out_channels // groups, *size), bound)
        self.bias = uniform((out_channels,), bound) if bias else None

    def forward(self, input: Any) -> Any:
        return F["conv_transpose2d"](input, self.weight, self.bias, *self.options)


class Embedding(Module):
    """Rows of a table; weight (num, dim), normal, 0 at padding_idx."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = _init.normal_(_zeros((num_embeddings, embedding_dim)))
        if padding_idx is not None:
            with no_grad():
                self.weight[padding_idx] = 0.0

    def forward(self, input: Any) -> Any:
        return F["embedding"](input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axes, then weight and bias."""

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape, self.eps = ints((normalized_shape,)), eps
        self.weight = _ones(self.normalized_shape) if elementwise_affine else None
        self.bias = _zeros(self.normalized_shape) if elementwise_affine and bias else None

    def forward(self, input: Any) -> Any:
        return F["layer_norm"](input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class RMSNorm(Module):
    """Mean square 1 over the last axes, then weight."""

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = ints((normalized_shape,)), eps
        self.weight = _ones(self.normalized_shape) if elementwise_affine else None

    def forward(self, input: Any) -> Any:
        return F["rms_norm"](input, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels, then weight and bias."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_groups, self.eps = num_groups, eps
        self.weight = _ones(num_channels) if affine else None
        self.bias = _zeros(num_channels) if affine else None

    def forward(self, input: Any) -> Any:
        return F["group_norm"](input, self.num_groups, self.weight, self.bias, self.eps)


class _BatchNorm(Module):
    """Mean 0 and variance 1 over a batch, then weight and bias; in eval by the running mean and variance."""

    axes: tuple[int, ...] = (2,)

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True,
                 track_running_stats: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = _ones(num_features) if affine else None
        self.bias = _zeros(num_features) if affine else None
        tracks = track_running_stats
        self.register_buffer("running_mean", tensor(np.zeros(num_features, np.float32)) if tracks else None)
        self.register_buffer("running_var", tensor(np.ones(num_features, np.float32)) if tracks else None)
        self.register_buffer("num_batches_tracked", tensor(0) if tracks else None)

    def forward(self, input: Any) -> Any:
        if len(input.shape) not in self.axes:
            raise ValueError(
                f"{type(self).__name__}: an input of {self.axes} axes is needed, got shape {input.shape}."
            )
        mean: Any = self.running_mean  # type: ignore[attr-defined]
        if self.training and mean is not None:
            with no_grad():
                self._track(input, mean)
        return F["batch_norm"](
            input, None if self.training else mean, self.running_var,  # type: ignore[attr-defined]
            self.weight, self.bias, self.training, self.momentum, self.eps,
        )  # fmt: skip

    def _track(self, input: Any, mean: Any) -> None:
        x = input.detach()
        over = tuple(i for i in range(len(x.shape)) if i != 1)
        var: Any = self.running_var  # type: ignore[attr-defined]
        count: Any = self.num_batches_tracked  # type: ignore[attr-defined]
        count += 1
        mean.copy_((1 - self.momentum) * mean + self.momentum * x.mean(over))
        var.copy_((1 - self.momentum) * var + self.momentum * x.var(over))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Batch norm of (batch, channels) or (batch, channels, length)."""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of (batch, channels, height, width)."""

    axes = (4,)


class Dropout(Module):
    """In training, elements are 0 with probability p, the others 1 / (1 - p) times as large."""

    kind = "dropout"

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must lie in [0, 1], got {p}.")
        self.p = p

    def forward(self, input: Any) -> Any:
        return F[self.kind](input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """As Dropout, whole channels."""

    kind = "dropout2d"


class Identity(Module):
    """The input."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Flatten(Module):
    """Axes start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        return input.flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """One axis as several."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Any) -> Any:
        return input.unflatten(self.dim, self.unflattened_size)


# -- modules that are a function with its options ---------------------------------------------------------------------


def _of(name: str, function: str, options: str = "") -> type[Module]:
    """A module that calls a function of nn.functional with the options that it was made with."""
    names = options.split()

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self)
        kwargs.pop("inplace", None)
        given = dict(zip(names, args, strict=False)) | kwargs
        unknown = [k for k in given if k not in names]
        if unknown or len(args) > len(names):
            raise TypeError(f"{name}: options are {', '.join(names) or 'none'}, got {unknown or args}.")
        self.options = given
        for key, value in list(given.items()):
            if isinstance(value, Tensor):
                self.register_buffer(key, value)

    def forward(self: Any, *inputs: Any) -> Any:
        return F[function](*inputs, **self.options)

    def extra_repr(self: Any) -> str:
        return ", ".join(f"{k}={v}" for k, v in self.options.items())

    doc = f"nn.functional.{function}{shown(_ROWS[function].fn)} as a module."
    return type(name, (Module,), {
        "__init__": __init__, "forward": forward, "extra_repr": extra_repr, "__doc__": doc, "__module__": __name__,
    })  # fmt: skip


_POOL, _LOSS = "kernel_size stride padding", "reduction"
SIMPLE = {
    "ReLU": ("relu",), "ReLU6": ("relu6",), "LeakyReLU": ("leaky_relu", "negative_slope"), "ELU": ("elu", "alpha"),
    "CELU": ("celu", "alpha"), "SELU": ("selu",), "GELU": ("gelu", "approximate"), "SiLU": ("silu",),
    "Mish": ("mish",), "Tanh": ("tanh",), "Sigmoid": ("sigmoid",), "LogSigmoid": ("logsigmoid",),
    "Softplus": ("softplus", "beta threshold"), "Softsign": ("softsign",), "Hardtanh": ("hardtanh", "min_val max_val"),
    "Hardsigmoid": ("hardsigmoid",), "Hardswish": ("hardswish",), "GLU": ("glu", "dim"),
    "Softmax": ("softmax", "dim"), "LogSoftmax": ("log_softmax", "dim"),
    "MaxPool1d": ("max_pool1d", f"{_POOL} dilation"), "MaxPool2d": ("max_pool2d", f"{_POOL} dilation"),
    "AvgPool1d": ("avg_pool1d", _POOL), "AvgPool2d": ("avg_pool2d", f"{_POOL} ceil_mode count_include_pad"),
    "AdaptiveAvgPool1d": ("adaptive_avg_pool1d", "output_size"),
    "AdaptiveAvgPool2d": ("adaptive_avg_pool2d", "output_size"),
    "AdaptiveMaxPool2d": ("adaptive_max_pool2d", "output_size"),
    "Upsample": ("interpolate", "size scale_factor mode"), "PixelShuffle": ("pixel_shuffle", "upscale_factor"),
    "CosineSimilarity": ("cosine_similarity", "dim eps"),
    "MSELoss": ("mse_loss", _LOSS), "L1Loss": ("l1_loss", _LOSS), "SmoothL1Loss": ("smooth_l1_loss", "reduction beta"),
    "HuberLoss": ("huber_loss", "reduction delta"), "NLLLoss": ("nll_loss", "weight ignore_index reduction"),
    "CrossEntropyLoss": ("cross_entropy", "weight ignore_index reduction label_smoothing"),
    "BCELoss": ("binary_cross_entropy", "weight reduction"),
    "BCEWithLogitsLoss": ("binary_cross_entropy_with_logits", "weight reduction pos_weight"),
    "KLDivLoss": ("kl_div", "reduction log_target"), "MarginRankingLoss": ("margin_ranking_loss", "margin reduction"),
    "TripletMarginLoss": ("triplet_margin_loss", "margin p eps reduction"),
    "CosineEmbeddingLoss": ("cosine_embedding_loss", "margin reduction"),
    "HingeEmbeddingLoss": ("hinge_embedding_loss", "margin reduction"),
    "GaussianNLLLoss": ("gaussian_nll_loss", "eps reduction"), "PoissonNLLLoss": ("poisson_nll_loss", "log_input eps"),
}  # fmt: skip
SIMPLE_MODULES: dict[str, type[Module]] = {name: _of(name, *how) for name, how in SIMPLE.items()}
