"""Operations that look in place. Underneath they are functional: the tensor gets a new value and a new place in the
graph; what was recorded with the old value keeps it. Writing to a view writes to its base: _torch/_views.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ._errors import InPlaceError, ShapeError, user_line
from ._operators import binary, unary
from ._torch._methods import IN_PLACE
from ._torch._views import write
from ._trace import local
from ._values import is_recorded


def _kind(dtype: Any) -> int:
    """0 for truth values, 1 for integers, 2 for floating, 3 for complex numbers."""
    kinds = (jnp.integer, jnp.floating, jnp.complexfloating)
    return next((i for i, kind in enumerate(kinds, 1) if jnp.issubdtype(dtype, kind)), 0)


def replace(tensor: Any, result: Any, name: str) -> Any:
    """Let `tensor` be `result` from here on.

    Raises:
      InPlaceError: a leaf that requires grad, outside no_grad().
      ShapeError: the result has another shape, or is of a kind (complex, floating, integer) above the tensor's.
    """
    if result is NotImplemented:
        return NotImplemented
    if tensor._view is not None:
        return write(tensor, result, name)
    trace = local.trace
    leaf = tensor._r
    if leaf and trace.mode:
        raise InPlaceError(
            f"{name}: a leaf that requires grad cannot change in place where gradients are recorded: the gradient "
            f"would "
            f"belong to the old value. Use `with autograd.no_grad():` for an update, or y = x + ... for a new tensor. "
            f"At {user_line()}."
        )
    now, before = result._aval, tensor._aval
    if now.shape != before.shape:
        raise ShapeError(
            f"{name}: the result has shape {result.shape}, the tensor {tensor.shape}. At {user_line()}."
        )
    if now.dtype != before.dtype:
        if _kind(now.dtype) > _kind(before.dtype):
            raise ShapeError(
                f"{name}: the result is {result.dtype}, which the tensor's {tensor.dtype} cannot hold. "
                f"At {user_line()}."
            )
        result = result.astype(tensor.dtype)
    tensor._mark = object()
    if not is_recorded(result):  # run at once, under detect_anomaly
        tensor._s, tensor._v, tensor._a = None, result._v, result._a
        tensor._n, tensor._k = (None, 0) if leaf else (result._n, result._k)
        return _kept(tensor)
    state = trace.source(result)
    if leaf:
        state = trace.leaf(state)
        trace.links[state.slot] = tensor
    if not is_recorded(tensor):
        del tensor._v
        trace.append(tensor)
    tensor._s = state
    return _kept(tensor)


def _kept(tensor: Any) -> Any:
    """A tensor that keeps its gradient does so at its new place, too."""
    if not tensor._r and tensor._keep and tensor.requires_grad:
        from ._hooks import keep

        keep(tensor)
    return tensor


def _operator(name: str, operator: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if self._r and local.trace.mode:
            return replace(self, None, name)
        return replace(self, getattr(self, operator)(other), name)

    method.__name__ = method.__qualname__ = name
    return method


def _named(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._r and local.trace.mode:
            return replace(self, None, name)
        return replace(self, compute(self, *args, **kwargs), name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name[:-1]}, in place; returns the tensor itself."
    return method


def _copied(x: Any, other: Any) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(other).astype(x.dtype), x.shape)


_zeros = unary("zero_", lambda x: jnp.zeros_like(x))
_copy = binary("copy_", _copied)[0]


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
