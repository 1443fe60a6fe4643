"""Operations that look in place. Underneath they are functional: the tensor gets a new value and a new place in the
graph; what was recorded with the old value keeps it. Writing to a view writes to its base: _replacing.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._ground._answers import answering
from .._operation._written import by
from .._operation._written._elementwise import written
from .._path._trace import local
from ._recording import binary, unary
from ._replacing import renew, replace
from ._torch._methods import IN_PLACE


def _operator(name: str, operator: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if self._r and local.trace.mode:
            return replace(self, None, name)
        if self._view is not None:
            renew(self, name)
        return replace(self, getattr(self, operator)(other), name)

    method.__name__ = method.__qualname__ = name
    return method


def _named(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    computed = answering(compute, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._r and local.trace.mode:
            return replace(self, None, name)
        if self._view is not None:
            renew(self, name)
        return replace(self, computed(self, *args, **kwargs), name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name[:-1]}, in place; returns the tensor itself."
    return method


def _copied(x: Any, other: Any) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(other).astype(x.dtype), x.shape)


_zeros = unary("zero_", jnp.zeros_like)
_copy = binary("copy_", by(written, _copied))[0]


class InPlace:
    """`x += y`, `x.add_(y)` and their like."""

    __slots__ = ()

    __iadd__ = _operator("__iadd__", "__add__")
    __isub__ = _operator("__isub__", "__sub__")
    __imul__ = _operator("__imul__", "__mul__")
    __itruediv__ = _operator("__itruediv__", "__truediv__")
    __ifloordiv__ = _operator("__ifloordiv__", "__floordiv__")
    __imod__ = _operator("__imod__", "__mod__")
    __ipow__ = _operator("__ipow__", "__pow__")
    __imatmul__ = _operator("__imatmul__", "__matmul__")
    __iand__ = _operator("__iand__", "__and__")
    __ior__ = _operator("__ior__", "__or__")
    __ixor__ = _operator("__ixor__", "__xor__")

    add_ = _named("add_", lambda x, y, alpha=1: x + (y if alpha == 1 else alpha * y))
    sub_ = _named("sub_", lambda x, y, alpha=1: x - (y if alpha == 1 else alpha * y))
    mul_ = _named("mul_", lambda x, y: x * y)
    div_ = _named("div_", lambda x, y: x / y)
    pow_ = _named("pow_", lambda x, y: x**y)
    neg_ = _named("neg_", lambda x: -x)
    exp_ = _named("exp_", lambda x: x.exp())
    sqrt_ = _named("sqrt_", lambda x: x.sqrt())
    tanh_ = _named("tanh_", lambda x: x.tanh())
    relu_ = _named("relu_", lambda x: x.relu())
    sigmoid_ = _named("sigmoid_", lambda x: x.sigmoid())
    clamp_ = _named("clamp_", lambda x, *a, **k: x.clip(*a, **k))
    clip_ = _named("clip_", lambda x, *a, **k: x.clip(*a, **k))
    zero_ = _named("zero_", _zeros)
    fill_ = _named("fill_", _copy)
    copy_ = _named("copy_", _copy)
    for _each, _fn in IN_PLACE.items():
        locals().setdefault(_each, _named(_each, _fn))
    del _each, _fn
