"""Layers: modules around the functions of nn.functional. Shapes, names and beginnings of parameters are torch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor._grad_mode import no_grad
from .._tensor._tensor import Parameter
from .._tensor._torch._rows import many, recorded
from . import _init
from ._functional._table import TABLE as _ROWS
from ._module import Module
from ._moving import placed

F: dict[str, Callable[..., Any]] = {name: recorded(name, row) for name, row in _ROWS.items()}


def uniform(shape: tuple[int, ...], bound: float) -> Any:
    """A parameter, uniform in [-bound, bound]."""
    return _init.uniform_(Parameter(np.zeros(shape, np.float32)), -bound, bound)


def ones(n: Any) -> Any:
    """A parameter of ones."""
    return Parameter(np.ones(n, np.float32))


def zeros(n: Any) -> Any:
    """A parameter of zeros."""
    return Parameter(np.zeros(n, np.float32))


@placed
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


@placed
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


@placed
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


@placed
class Embedding(Module):
    """Rows of a table; weight (num, dim), normal, 0 at padding_idx."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, _weight: Any = None
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        if _weight is not None:
            self.weight = _weight
            return
        self.weight = _init.normal_(zeros((num_embeddings, embedding_dim)))
        if padding_idx is not None:
            with no_grad():
                self.weight[padding_idx] = 0.0

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """An embedding whose weight is a given matrix, which learns unless it is frozen."""
        if embeddings.ndim != 2:
            raise ValueError(f"Embedding: embeddings must be a matrix, got shape {tuple(embeddings.shape)}.")
        num, dim = embeddings.shape
        return cls(num, dim, padding_idx, Parameter(embeddings, requires_grad=not freeze))

    def forward(self, input: Any) -> Any:
        return F["embedding"](input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


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
