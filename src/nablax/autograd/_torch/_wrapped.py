"""Modules that are a function of nn.functional with its options: one row a module."""

from __future__ import annotations

from typing import Any

from .._tensor._tensor import Tensor
from .._tensor._torch._rows import shown
from ._functional._table import TABLE
from ._layers import F
from ._module import Module


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

    doc = f"nn.functional.{function}{shown(TABLE[function].fn)} as a module."
    return type(name, (Module,), {
        "__init__": __init__, "forward": forward, "extra_repr": extra_repr, "__doc__": doc,
        "__module__": "nablax.autograd.nn",  # where pickle finds it
    })  # fmt: skip


_POOL, _LOSS = "kernel_size stride padding", "reduction"
ROWS = {
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
MODULES: dict[str, type[Module]] = {name: _of(name, *how) for name, how in ROWS.items()}
