"""Methods of a tensor that are no row of a table: what it is, where it is, in place, and like another."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._ground._aval import dtype_of
from ..._ground._errors import RangeError, ShapeError, user_line
from .._grad_mode import no_grad
from .._make import make
from .._namespaces import numpy
from .._replacing import replace
from ._elementwise import TABLE as ELEMENTWISE
from ._making import FUNCTIONS, place
from ._random import noise
from ._table import UNARY


class Size(int):
    """The number of elements; called, the shape, or the length of one axis, as torch's x.size()."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[_place("size", dim, len(self.shape))]

    def __reduce__(self) -> tuple:
        return int, (int(self),)


def size_of(aval: Any) -> Size:
    """The Size of a shape."""
    found = Size(aval.size)
    found.shape = aval.shape
    return found


class GradFn:
    """What made a tensor that carries a gradient. `autograd.graph(y)` shows all of it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """The operation, as in `AddBackward`."""
        return self._name

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"grad_fn.{name}: the graph here is of whole segments; autograd.graph(y) walks and draws it."
        )


def grad_fn(tensor: Any) -> GradFn | None:
    """None of what carries no gradient, and of leaves."""
    if tensor._r or not tensor.requires_grad:
        return None
    step = tensor._s.step if tensor._s is not None else None
    called = getattr(step, "call", None)
    name = getattr(called, "name", "") or "Segment"
    return GradFn("".join(part.title() for part in str(name).split("[")[0].split("_")) + "Backward")


def to(tensor: Any, *args: Any, **kwargs: Any) -> Any:
    """x.to(dtype), x.to(device), x.to("cpu"), x.to(device, dtype), x.to(other), x.to(device=, dtype=)."""
    dtype, device, copy = whither(args, kwargs)
    found = tensor
    if dtype is not None:
        wide_or_warn("to", dtype)
        found = found.astype(jax.dtypes.canonicalize_dtype(dtype))
    if device is not None:
        where = place(device)
        if not (isinstance(device, str) and _kind_of(found.device) == where.platform and ":" not in device):
            found = found.to_device(where)
    return found.clone() if copy and found is tensor else found


def whither(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any, bool]:
    """The dtype and the device that are asked for, None where they stay, and whether a copy is."""
    options = dict(options)
    dtype, device, copy = options.pop("dtype", None), options.pop("device", None), options.pop("copy", False)
    options.pop("non_blocking", None), options.pop("memory_format", None)
    if options:
        raise TypeError(f"to: device= and dtype= are taken, got {', '.join(options)}.")
    for each in args:
        if hasattr(each, "requires_grad"):
            dtype = each.dtype
        elif isinstance(each, jax.Device | jax.sharding.Sharding) or (
            isinstance(each, str) and _is_place(each)
        ):
            device = each
        elif each is not None and not isinstance(each, bool):
            dtype = each
    return dtype, device, copy


def _is_place(name: str) -> bool:
    return name.partition(":")[0] in ("cpu", "cuda", "gpu", "tpu", "mps", "xpu", "meta")


def _kind_of(device: Any) -> str:
    return device.platform if isinstance(device, jax.Device) else ""


def wide_or_warn(who: str, dtype: Any) -> None:
    """Say that 64 bits of floating numbers become 32."""
    dtype_of(who, dtype)
    kind = np.dtype(dtype) if not isinstance(dtype, str) else jnp.dtype(dtype)
    if kind.kind in "fc" and jax.dtypes.canonicalize_dtype(kind) != kind:
        warnings.warn(
            f"{who}: {kind} needs x64, which is off, so the elements are {jax.dtypes.canonicalize_dtype(kind)}. "
            f"Enable it with jax.config.update('jax_enable_x64', True). At {user_line()}.",
            UserWarning,
            stacklevel=4,
        )


def type_of(tensor: Any, dtype: Any = None) -> Any:
    """The name of the tensor's type, or the tensor as another type."""
    return f"tensor.{tensor.dtype}" if dtype is None else to(tensor, dtype)


def stride(tensor: Any, dim: int | None = None) -> Any:
    """How many elements lie between neighbours along an axis, as tensors here are always stored."""
    steps = [1]
    for n in tensor.shape[:0:-1]:
        steps.append(steps[-1] * n)
    found = tuple(reversed(steps))[: len(tensor.shape)]
    return found if dim is None else found[_place("stride", dim, len(found))]


def _place(who: str, dim: Any, n: int) -> int:
    if not isinstance(dim, int | np.integer):
        raise ShapeError(
            f"{who}: dim must be an integer, got {type(dim).__name__}: {dim!r}. At {user_line()}."
        )
    if not -n <= dim < n:
        raise RangeError(f"{who}: dim must lie in {-n} to {n - 1}, got {dim}. At {user_line()}.")
    return int(dim)


def cuda(tensor: Any, device: Any = None) -> Any:
    """The tensor on a GPU; raises where JAX has none."""
    return tensor.to_device(place(gpu(device)))


def gpu(device: Any) -> Any:
    """The GPU that `cuda(device)` asks for: the first, one by its number, or as it is given."""
    return "cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device


def detach_(tensor: Any) -> Any:
    """End the tensor's history here; returns it. A leaf stops requiring grad."""
    if tensor._r:
        return tensor.requires_grad_(False)
    view, tensor._view = tensor._view, None
    made = tensor.detach()
    made._view = None
    with no_grad():
        replace(tensor, made, "detach_")
    tensor._view = view
    return tensor


def _new(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("dtype", self.dtype)
        return FUNCTIONS[name](*args, **kwargs)

    method.__name__ = method.__qualname__ = f"new_{name}"
    method.__doc__ = f"{name}, of this tensor's dtype."
    return method


def new_tensor(self: Any, data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Any:
    """A tensor with a copy of a value, of this tensor's dtype."""
    return make(data, dtype=self.dtype if dtype is None else dtype, requires_grad=requires_grad)


def _drawn(name: str, how: str, shift: Callable[..., Any]) -> Callable[..., Any]:
    def compute(x: Any, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
        return make(shift(noise(how, x.shape, float, generator), *args, **kwargs).astype(x.dtype)).clone()

    compute.__name__ = name
    return compute


def _of_method(method: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x, method)(*args, **kwargs)


def _filled_diagonal(x: Any, fill_value: Any, wrap: bool = False) -> Any:
    if wrap or x.ndim != 2:
        raise ValueError(f"fill_diagonal_: a matrix is needed, without wrap=True, got shape {x.shape}.")
    return numpy.where(np.eye(*x.shape, dtype=np.bool_), fill_value, x)


_NOT_IN_PLACE = {  # elementwise, and another dtype or no method in torch
    "isnan", "isfinite", "isinf", "isposinf", "isneginf", "isreal", "signbit", "conj", "conjugate", "angle",
    "positive", "softplus", "rsub", "maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2", "isclose",
}  # fmt: skip
_ALSO_IN_PLACE = (
    "addmm", "addmv", "addr", "addbmm", "baddbmm", "scatter", "scatter_add", "scatter_reduce", "index_add",
    "index_copy", "index_fill", "index_put", "masked_scatter", "tril", "triu", "cumsum", "cumprod", "renorm",
)  # fmt: skip

IN_PLACE: dict[str, Callable[..., Any]] = {
    **{f"{name}_": _of_method(name) for name in (*UNARY, *ELEMENTWISE, *_ALSO_IN_PLACE) if name not in _NOT_IN_PLACE},
    "fill_diagonal_": _filled_diagonal,
    "normal_": _drawn("normal_", "standard_normal", lambda z, mean=0.0, std=1.0: mean + std * z),
    "uniform_": _drawn("uniform_", "random", lambda u, a=0.0, b=1.0: a + (b - a) * u),
    "exponential_": _drawn("exponential_", "standard_exponential", lambda z, lambd=1.0: z / lambd),
    "bernoulli_": _drawn("bernoulli_", "random", lambda u, p=0.5: u < (p.numpy() if hasattr(p, "numpy") else p)),
}  # fmt: skip


def where(self: Any, condition: Any, other: Any) -> Any:
    """This tensor's elements where the condition holds, the other's elsewhere."""
    return numpy.where(condition, self, other)


METHODS: dict[str, Any] = {
    "where": where,
    "grad_fn": property(grad_fn), "to": to, "type": type_of, "stride": stride, "cuda": cuda, "detach_": detach_,
    "new_zeros": _new("zeros"), "new_ones": _new("ones"), "new_empty": _new("empty"), "new_full": _new("full"),
    "new_tensor": new_tensor,
    "is_floating_point": lambda self: builtins.bool(jnp.issubdtype(self.dtype, jnp.floating)),
    "is_complex": lambda self: builtins.bool(jnp.issubdtype(self.dtype, jnp.complexfloating)),
    "is_contiguous": lambda self: True, "element_size": lambda self: self.itemsize,
    "ndimension": lambda self: self.ndim, "nelement": lambda self: builtins.int(self.size),
    "is_cuda": property(lambda self: getattr(self.device, "platform", "") == "gpu"),
    "H": property(lambda self: self.T.conj()), "mH": property(lambda self: self.mT.conj()),
}  # fmt: skip
