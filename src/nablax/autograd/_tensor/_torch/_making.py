"""Tensors from nothing: zeros(2, 3), arange, eye, zeros_like, x.new_zeros, as_tensor.

They hold NumPy's arrays and are made at once, so that a tensor made anew in each step is an input of the
step's program. A tensor like a parameter does not require grad.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._ground._aval import dtype_of
from ..._ground._errors import user_line
from ..._ground._narrow import too_large
from ..._ground._quiet import quietly
from ..._path._recorded import Recorded
from .._make import make as tensor
from ._rows import ints

FLOAT: Any = float


def number_type(dtype: Any, default: Any = float) -> Any:
    """A dtype as JAX has it: Python's, NumPy's or JAX's; 64 bits become 32 without x64."""
    return dtype_of("autograd", default if dtype is None else dtype)


def make(value: Any, dtype: Any, requires_grad: bool = False, device: Any = None) -> Any:
    """A tensor of this library's with torch's options."""
    place(device)
    found = np.asarray(value).astype(dtype) if dtype is not None else value
    return tensor(found, requires_grad=requires_grad)


def place(device: Any) -> Any:
    """A device of JAX's for torch's name of it.

    Raises:
      RuntimeError: there is no such device.
    """
    if device is None or isinstance(device, jax.Device | jax.sharding.Sharding):
        return device
    kind, _, number = str(device).partition(":")
    try:
        return jax.devices({"cuda": "gpu"}.get(kind, kind))[int(number or 0)]
    except (RuntimeError, IndexError) as error:
        raise RuntimeError(
            f"device {device!r}: JAX has none here; it has {', '.join(map(str, jax.devices()))}. JAX puts arrays "
            f"on its first device by itself, so that a program needs no .cuda(). At {user_line()}."
        ) from error


def _filled(name: str, value: Any) -> Callable[..., Any]:
    def call(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, layout: Any = None,
             pin_memory: Any = None, shape: Any = None, out: Any = None) -> Any:  # fmt: skip
        if shape is not None:
            size = (shape,)
        if len(size) == 2 and isinstance(size[0], tuple | list):  # NumPy's: a shape and a dtype
            shape, dtype = size
            size = (shape,)
        return make(np.full(ints(size), value, number_type(dtype)), None, requires_grad, device)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"torch's {name}(*size, dtype=None, requires_grad=False)."
    return call


def _like(name: str, value: Any) -> Callable[..., Any]:
    def call(input: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None, layout: Any = None,
             memory_format: Any = None) -> Any:  # fmt: skip
        kind = np.dtype(input.dtype) if dtype is None and hasattr(input, "dtype") else number_type(dtype)
        return make(np.full(np.shape(input) if not isinstance(input, Recorded) else input.shape, value, kind), None,
                    requires_grad, device)  # fmt: skip

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"torch's {name}(input, dtype=None, requires_grad=False)."
    return call


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Any:
    """A tensor of one number."""
    kind = number_type(dtype, np.asarray(fill_value).dtype if not isinstance(fill_value, Recorded) else None)
    size = (size,) if isinstance(size, int) else size
    if isinstance(fill_value, Recorded):
        return fill_value.expand(tuple(size))  # type: ignore[attr-defined]
    try:
        value = quietly(np.full, ints((size,)), fill_value, kind)
    except OverflowError:
        raise too_large("full", fill_value, kind) from None
    return make(value, None, requires_grad, device)


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False,
              device: Any = None) -> Any:  # fmt: skip
    """A tensor of one number, of another's shape and dtype."""
    return full(
        input.shape, fill_value, dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad
    )


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False,
           device: Any = None) -> Any:  # fmt: skip
    """Numbers from start (0 where there is one argument) to end, which is left out."""
    start, end, step = (x.item() if isinstance(x, Recorded) else x for x in (start, end, step))  # type: ignore[attr-defined]
    if end is None:
        start, end = 0, start
    found = np.arange(start, end, step)
    found = found if dtype is None else quietly(found.astype, number_type(dtype))
    return make(found, None, requires_grad, device)


def linspace(start: Any, end: Any, steps: int = 50, *, num: int | None = None, dtype: Any = None,
             requires_grad: bool = False, device: Any = None) -> Any:  # fmt: skip
    """So many numbers from start to end, both included."""
    start, end = (x.item() if isinstance(x, Recorded) else x for x in (start, end))  # type: ignore[attr-defined]
    found = np.linspace(start, end, steps if num is None else num)
    return make(quietly(found.astype, number_type(dtype)), None, requires_grad, device)


def logspace(start: Any, end: Any, steps: int = 50, base: float = 10.0, *, dtype: Any = None,
             requires_grad: bool = False, device: Any = None) -> Any:  # fmt: skip
    """So many powers of base, their exponents from start to end."""
    found = base ** np.linspace(start, end, steps)
    return make(quietly(found.astype, number_type(dtype)), None, requires_grad, device)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Any:
    """The unit matrix."""
    return make(np.eye(n, m, dtype=number_type(dtype)), None, requires_grad, device)


def tril_indices(row: int, col: int, offset: int = 0) -> Any:
    """The indices of the lower triangle, 2 rows."""
    return make(np.stack(np.tril_indices(row, offset, col)), number_type(int))


def triu_indices(row: int, col: int, offset: int = 0) -> Any:
    """The indices of the upper triangle, 2 rows."""
    return make(np.stack(np.triu_indices(row, offset, col)), number_type(int))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """A tensor as it is, anything else as a tensor; JAX's and NumPy's arrays are copied, which torch's are not."""
    place(device)
    if isinstance(data, Recorded):
        return data if dtype is None or data.dtype == number_type(dtype) else data.astype(dtype)  # type: ignore[attr-defined]
    return tensor(data, dtype=dtype)


def from_numpy(array: Any) -> Any:
    """A tensor with a copy of NumPy's array: writing to the array does not change the tensor, as it does in torch."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: an array of NumPy's is needed, got {type(array).__name__}.")
    return tensor(array)


def is_tensor(obj: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(obj, Recorded)


def _kind(dtype: Any) -> Callable[[Any], bool]:
    def call(input: Any) -> bool:
        return bool(jnp.issubdtype(input.dtype, dtype))

    return call


def numel(input: Any) -> int:
    """The number of elements."""
    return int(input.size)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "zeros": _filled("zeros", 0), "ones": _filled("ones", 1), "empty": _filled("empty", 0), "full": full,
    "zeros_like": _like("zeros_like", 0), "ones_like": _like("ones_like", 1), "empty_like": _like("empty_like", 0),
    "full_like": full_like, "arange": arange, "linspace": linspace, "logspace": logspace, "eye": eye,
    "tril_indices": tril_indices, "triu_indices": triu_indices, "as_tensor": as_tensor,
    "from_numpy": from_numpy, "is_tensor": is_tensor, "numel": numel, "is_floating_point": _kind(jnp.floating),
    "is_complex": _kind(jnp.complexfloating),
}  # fmt: skip
