"""Layers that bring what goes through them to mean 0 and variance 1: over axes, groups of channels, or a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor._grad_mode import no_grad
from .._tensor._tensor import tensor
from .._tensor._torch._rows import ints
from ._layers import F, ones, zeros
from ._module import Module
from ._moving import placed


@placed
class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axes, then weight and bias."""

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape, self.eps = ints((normalized_shape,)), eps
        self.weight = ones(self.normalized_shape) if elementwise_affine else None
        self.bias = zeros(self.normalized_shape) if elementwise_affine and bias else None

    def forward(self, input: Any) -> Any:
        return F["layer_norm"](input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


@placed
class RMSNorm(Module):
    """Mean square 1 over the last axes, then weight."""

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = ints((normalized_shape,)), eps
        self.weight = ones(self.normalized_shape) if elementwise_affine else None

    def forward(self, input: Any) -> Any:
        return F["rms_norm"](input, self.normalized_shape, self.weight, self.eps)


@placed
class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels, then weight and bias."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_groups, self.eps = num_groups, eps
        self.weight = ones(num_channels) if affine else None
        self.bias = zeros(num_channels) if affine else None

    def forward(self, input: Any) -> Any:
        return F["group_norm"](input, self.num_groups, self.weight, self.bias, self.eps)


@placed
class _BatchNorm(Module):
    """Mean 0 and variance 1 over a batch, then weight and bias; in eval by the running mean and variance."""

    axes: tuple[int, ...] = (2,)

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True,
                 track_running_stats: bool = True) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = ones(num_features) if affine else None
        self.bias = zeros(num_features) if affine else None
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
