"""The operators of a tensor."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .._operation._call import ALIKE
from .._operation._written import by
from .._operation._written._elementwise import power
from . import _kinks
from ._recording import binary, unary


def _pow(x: Any, y: Any) -> Any:
    return x**y if isinstance(y, int) else _kinks.power(x, y)


by(power, _pow)


class Operators:
    """The operators of Python, recorded."""

    __slots__ = ()

    __add__, __radd__ = binary("add", jnp.add)
    __sub__, __rsub__ = binary("subtract", jnp.subtract)
    __mul__, __rmul__ = binary("multiply", jnp.multiply)
    __truediv__, __rtruediv__ = binary("divide", jnp.divide)
    __floordiv__, __rfloordiv__ = binary("floor_divide", jnp.floor_divide)
    __mod__, __rmod__ = binary("mod", jnp.mod)
    __pow__, __rpow__ = binary("pow", _pow)
    __matmul__, __rmatmul__ = binary("matmul", jnp.matmul, product=True)
    __and__, __rand__ = binary("bitwise_and", jnp.bitwise_and)
    __or__, __ror__ = binary("bitwise_or", jnp.bitwise_or)
    __xor__, __rxor__ = binary("bitwise_xor", jnp.bitwise_xor)
    __lshift__, __rlshift__ = binary("left_shift", jnp.left_shift)
    __rshift__, __rrshift__ = binary("right_shift", jnp.right_shift)
    __lt__ = binary("less", jnp.less)[0]
    __le__ = binary("less_equal", jnp.less_equal)[0]
    __gt__ = binary("greater", jnp.greater)[0]
    __ge__ = binary("greater_equal", jnp.greater_equal)[0]
    __eq__ = binary("equal", jnp.equal)[0]
    __ne__ = binary("not_equal", jnp.not_equal)[0]
    __hash__ = object.__hash__
    __neg__ = unary("negative", jnp.negative, ALIKE)
    __abs__ = unary("absolute", _kinks.abs, ALIKE)
    __invert__ = unary("invert", jnp.invert, ALIKE)

    def __pos__(self) -> Any:
        return self

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self
