"""The names in which the two libraries differ. Everything else a program uses is spelled alike in both: operators,
methods, indexing, `.backward()`, `.grad`.

Each field is the library's own function wherever its arguments agree, so that a program costs what it would cost
without this file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple


class Library(NamedTuple):
    """parameter: an array as a leaf that requires grad.  tensor: an array as a constant.
    grad: grad(y, [x], create_graph=, retain_graph=) -> one gradient for each x.
    cat, stack: (tensors, axis).  amax: (x, axis), without indices.
    conv2d: NCHW, OIHW, stride 1, no padding.  max_pool2d: windows of 2 x 2.
    adam, sgd: (parameters, rate) -> an optimizer with step() and zero_grad().
    """

    name: str
    parameter: Callable[..., Any]
    tensor: Callable[..., Any]
    no_grad: Callable[..., Any]
    grad: Callable[..., Any]
    cat: Callable[..., Any]
    stack: Callable[..., Any]
    where: Callable[..., Any]
    zeros_like: Callable[..., Any]
    ones_like: Callable[..., Any]
    maximum: Callable[..., Any]
    amax: Callable[..., Any]
    softplus: Callable[..., Any]
    log_sigmoid: Callable[..., Any]
    leaky_relu: Callable[..., Any]
    gelu: Callable[..., Any]
    conv2d: Callable[..., Any]
    max_pool2d: Callable[..., Any]
    adam: Callable[..., Any]
    sgd: Callable[..., Any]


def ours() -> Library:
    """nablax.autograd."""
    import jax
    import numpy as np

    import nablax
    from nablax import autograd as ag

    def conv2d(x: Any, w: Any) -> Any:
        return ag.lax.conv_general_dilated(x, w, (1, 1), "VALID")

    def max_pool2d(x: Any) -> Any:
        return ag.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    return Library(
        "nablax", ag.Parameter, ag.tensor, ag.no_grad, ag.grad, ag.numpy.concatenate, ag.numpy.stack, ag.numpy.where,
        ag.numpy.zeros_like, ag.numpy.ones_like, ag.numpy.maximum, ag.numpy.max, ag.nn.softplus, ag.nn.log_sigmoid,
        ag.nn.leaky_relu, ag.nn.gelu, conv2d, max_pool2d,
        lambda params, rate: nablax.Optimizer(nablax.adam(rate), params),
        lambda params, rate: nablax.Optimizer(nablax.sgd(rate), params),
    )  # fmt: skip


def theirs() -> Library:
    """torch."""
    import torch
    from torch.nn import functional as F

    return Library(
        "torch", functools.partial(torch.tensor, requires_grad=True), torch.tensor, torch.no_grad, torch.autograd.grad,
        torch.cat, torch.stack, torch.where, torch.zeros_like, torch.ones_like, torch.maximum, torch.amax, F.softplus,
        F.logsigmoid, F.leaky_relu, functools.partial(F.gelu, approximate="tanh"), F.conv2d,
        functools.partial(F.max_pool2d, kernel_size=2), torch.optim.Adam, torch.optim.SGD,
    )  # fmt: skip


def warmed(library: Library) -> Library:
    """The library after one gradient of one number and a step of either optimizer: both import modules when first
    used (torch seconds' worth), which is not what the programs measure."""
    x = library.parameter([1.0])
    x.sum().backward()
    for kind in (library.adam, library.sgd):
        kind([x], 0.1).step()
    x.sum().item()
    return library


LIBRARIES = {"nablax": ours, "torch": theirs}
