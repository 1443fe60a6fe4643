"""torch.nn.init: how weights begin. Each fills a tensor in place, gradients aside, and returns it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor._grad_mode import no_grad
from .._tensor._torch._random import Generator, noise

_GAINS = {
    "sigmoid": 1.0,
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """How much larger weights are, for this activation to keep variances."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: nonlinearity must be leaky_relu or one of {', '.join(_GAINS)}, "
                         f"got {nonlinearity!r}.")  # fmt: skip
    return _GAINS[nonlinearity]


def _fill(tensor: Any, value: Any) -> Any:
    with no_grad():
        tensor.copy_(np.asarray(value))
    return tensor


def _fans(tensor: Any) -> tuple[int, int]:
    """Inputs and outputs of a unit: a matrix is (out, in), a kernel (out, in, ...)."""
    if len(tensor.shape) < 2:
        raise ValueError(f"init: fan in and fan out need at least 2 axes, got shape {tensor.shape}.")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _draw(how: str, tensor: Any, generator: Generator | None) -> np.ndarray:
    return noise(how, tensor.shape, float, generator)


def zeros_(tensor: Any) -> Any:
    """All 0."""
    return _fill(tensor, 0.0)


def ones_(tensor: Any) -> Any:
    """All 1."""
    return _fill(tensor, 1.0)


def constant_(tensor: Any, val: float) -> Any:
    """All one number."""
    return _fill(tensor, val)


def eye_(tensor: Any) -> Any:
    """The unit matrix."""
    return _fill(tensor, np.eye(*tensor.shape))


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Any:
    """Uniform in [a, b)."""
    return _fill(tensor, a + (b - a) * _draw("random", tensor, generator))


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Any:
    """Normal."""
    return _fill(tensor, mean + std * _draw("standard_normal", tensor, generator))


def trunc_normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Generator | None = None) -> Any:  # fmt: skip
    """Normal, drawn again where it falls outside [a, b]."""
    drawn = mean + std * _draw("standard_normal", tensor, generator)
    while ((drawn < a) | (drawn > b)).any():
        again = mean + std * _draw("standard_normal", tensor, generator)
        drawn = np.where((drawn < a) | (drawn > b), again, drawn)
    return _fill(tensor, drawn)


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Uniform with variance gain^2 * 2 / (fan in + fan out). Source: Glorot and Bengio 2010."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Normal with variance gain^2 * 2 / (fan in + fan out). Source: Glorot and Bengio 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def _kaiming(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode must be 'fan_in' or 'fan_out', got {mode!r}.")
    return calculate_gain(nonlinearity, a) / math.sqrt(_fans(tensor)[mode == "fan_out"])


def kaiming_uniform_(tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Generator | None = None) -> Any:  # fmt: skip
    """Uniform with variance gain^2 / fan. Source: He et al. 2015, arXiv:1502.01852."""
    bound = math.sqrt(3) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Generator | None = None) -> Any:  # fmt: skip
    """Normal with variance gain^2 / fan. Source: He et al. 2015, arXiv:1502.01852."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Generator | None = None) -> Any:
    """Orthonormal rows, or columns where there are fewer of them. Source: Saxe et al. 2013, arXiv:1312.6120."""
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = noise("standard_normal", (max(rows, columns), min(rows, columns)), float, generator).astype(
        np.float64
    )
    q, r = np.linalg.qr(flat)
    q = q * np.sign(np.diag(r))
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        calculate_gain, zeros_, ones_, constant_, eye_, uniform_, normal_, trunc_normal_, xavier_uniform_,
        xavier_normal_, kaiming_uniform_, kaiming_normal_, orthogonal_,
    )
}  # fmt: skip
