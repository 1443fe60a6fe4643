"""Modules in another dtype or on another device: `module.to`, and device= and dtype= where a layer is made."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

import jax.numpy as jnp

from .._tensor._tensor import Parameter, Tensor
from .._tensor._torch._methods import whither

_Kind = TypeVar("_Kind", bound=type)


def move(module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Parameters and buffers of a module and of those inside, as `Tensor.to` takes them; numbers that are no floats
    keep their dtype.

    Raises:
      TypeError: a dtype that is neither floating nor complex.
    """
    dtype, device, _ = whither(args, options)
    if dtype is not None and not jnp.issubdtype(jnp.dtype(dtype), jnp.inexact):
        raise TypeError(
            f"{type(module).__name__}.to: dtype must be floating or complex, got {jnp.dtype(dtype).name}."
        )

    def moved(value: Any) -> Any:
        return value.to(device=device, dtype=dtype if jnp.issubdtype(value.dtype, jnp.inexact) else None)

    for each in module.modules():
        for name, value in list(vars(each).items()):
            if isinstance(value, Parameter):
                value.data = moved(value.detach())
            elif name in each._buffers and isinstance(value, Tensor):
                setattr(each, name, moved(value))
    return module


def placed(kind: _Kind) -> _Kind:
    """A class of layers that also takes device= and dtype=."""
    made: Any = kind.__init__  # type: ignore[misc]

    @functools.wraps(made)
    def __init__(self: Any, *args: Any, device: Any = None, dtype: Any = None, **options: Any) -> None:
        made(self, *args, **options)
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)

    own = inspect.signature(made)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ("device", "dtype")
    ]
    del __init__.__wrapped__  # it is the signature's, which is another one
    __init__.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    kind.__init__ = __init__  # type: ignore[misc]
    return kind
