"""Where the names are found: the top level, nn, nn.functional, nn.init, nn.utils, utils."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from .._ground._answers import answering
from .._tensor._namespaces import nn, numpy
from .._tensor._tensor import Parameter
from .._tensor._torch._making import FUNCTIONS as MAKING
from .._tensor._torch._random import FUNCTIONS as RANDOM
from .._tensor._torch._rows import recorded
from .._tensor._torch._table import DTYPES, FUNCTIONS
from . import (
    _attention,
    _containers,
    _data,
    _init,
    _layers,
    _module,
    _normalizing,
    _recurrent,
    _samplers,
    _transformer,
    _wrapped,
)
from ._checkpoint import checkpoint
from ._files import load, save
from ._function import Function, once_differentiable
from ._modes import inference_mode, set_grad_enabled
from ._places import CUDA
from ._places import FUNCTIONS as PLACES


def functions() -> dict[str, Callable[..., Any]]:
    """What the top level of autograd gets."""
    return {
        **{name: recorded(name, row) for name, row in FUNCTIONS.items()},
        **_answering(MAKING), **_answering(RANDOM), **DTYPES, **_answering(PLACES), "cuda": cuda, "utils": utils,
        "clone": answering(lambda input: input.clone(), "clone"),
        "detach": answering(lambda input: input.detach(), "detach"), **_answering({"save": save, "load": load}),
        "Function": Function, "checkpoint": checkpoint, "once_differentiable": once_differentiable,
        "set_grad_enabled": set_grad_enabled,
        "inference_mode": inference_mode,
    }  # fmt: skip


def _answering(table: dict[str, Any]) -> dict[str, Any]:
    return {n: f if isinstance(f, type) else answering(f, n) for n, f in table.items()}


def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0) -> Any:
    """Scale the gradients in place so that their norm together is at most max_norm; returns the norm before."""
    grads = [p.grad for p in _several(parameters) if p.grad is not None]
    if not grads:
        return MAKING["zeros"](())
    total = numpy.stack([g.detach().norm(norm_type) for g in grads]).norm(norm_type)
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for g in grads:
        g.mul_(scale)
    return total


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Clip every element of the gradients in place."""
    for p in _several(parameters):
        if p.grad is not None:
            p.grad.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All parameters in one vector."""
    return numpy.concatenate([p.reshape(-1) for p in parameters])


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Any:  # fmt: skip
    """Sequences of different lengths as one tensor of (longest, number, ...), or (number, longest, ...).

    Raises:
      ValueError: padding_side is neither "right" nor "left".
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}.")
    sequences = list(sequences)
    longest = max(len(x) for x in sequences)
    rows = []
    for x in sequences:
        lacking = longest - len(x)
        widths = (lacking, 0) if padding_side == "left" else (0, lacking)
        rows.append(_layers.F["pad"](x, (*(0,) * 2 * (x.ndim - 1), *widths), value=padding_value))
    return numpy.stack(rows, 0 if batch_first else 1)


def _several(parameters: Any) -> list[Any]:
    return [parameters] if isinstance(parameters, Parameter) else list(parameters)


def _module_of(name: str, doc: str, names: dict[str, Any]) -> types.ModuleType:
    made = types.ModuleType(f"nablax.autograd.{name}", doc)
    vars(made).update(names)
    sys.modules[made.__name__] = made
    return made


cuda = _module_of("cuda", "torch.cuda: whether there is a GPU.", CUDA)
functional = _module_of("nn.functional", "torch.nn.functional: activations, layers and losses.", _layers.F)
for _function in _layers.F.values():
    _function.__module__ = functional.__name__  # where pickle finds it
rnn = _module_of("nn.utils.rnn", "torch.nn.utils.rnn: sequences.", _answering({"pad_sequence": pad_sequence}))
_UTILS = _answering({f.__name__: f for f in (clip_grad_norm_, clip_grad_value_, parameters_to_vector)}) | {
    "rnn": rnn
}
utils = _module_of("utils", "torch.utils: batches of data, and forward computed again.", {
    "data": _module_of("utils.data", "torch.utils.data: batches of a data set.", _data.NAMES | {
        "sampler": _module_of("utils.data.sampler", "torch.utils.data.sampler: orders of samples.", _samplers.SAMPLERS),
    }),
    "checkpoint": _module_of("utils.checkpoint", "torch.utils.checkpoint: forward again.", {"checkpoint": checkpoint}),
})  # fmt: skip
MODULES = {
    name: found
    for of in (_module, _containers, _layers, _normalizing, _recurrent, _attention, _transformer)
    for name, found in vars(of).items()
    if isinstance(found, type) and issubclass(found, _module.Module) and not name.startswith("_")
} | _wrapped.MODULES  # fmt: skip
for _name, _kind in MODULES.items():
    if _kind is not _module.Module:
        _kind.__init__ = answering(inspect.unwrap(_kind.__init__), _name)  # type: ignore[method-assign]
_INIT = _answering(_init.FUNCTIONS)
for _name, _found in {
    "functional": functional, "init": _module_of("nn.init", "torch.nn.init: how weights begin.", _INIT),
    "utils": _module_of("nn.utils", "torch.nn.utils: gradients of many parameters.", _UTILS), "Parameter": Parameter,
    **MODULES,
}.items():  # fmt: skip
    setattr(nn, _name, _found)
