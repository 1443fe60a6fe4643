"""How tensors meet Python, NumPy and JAX: reading a value, NumPy's protocols, and the refusal to lose a tape."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._ground._errors import LostTapeError, NonScalarError, user_line
from .._ground._lent import lend
from .._segment._flush import realize
from . import _namespaces


class Telling(type):
    """A class whose name says what to do: JAX's primitives refuse a Tensor with a message that holds its class."""

    def __repr__(cls) -> str:
        return f"<class 'nablax.autograd.{cls.__name__}'; use autograd.numpy, .nn, .lax or autograd.lift>"


class Interop:
    """float(x), np.sin(x), np.asarray(x), x.__array_namespace__() and their like."""

    __slots__ = ()
    __array_priority__ = 1000

    # -- reading the one number in a tensor -----------------------------------------------------------------------

    def item(self, *index: int) -> Any:
        """The number in a tensor of one element (or at an index) as a Python number."""
        if index:
            return self[index if len(index) > 1 else index[0]].item()  # type: ignore[index]
        try:
            return realize(self).item()
        except ValueError as error:
            if self._aval.size == 1:  # type: ignore[attr-defined]
                raise
            raise NonScalarError(
                f"item: one element is one number, got shape {self._aval.shape}. Reduce it first, x.sum().item(), or "  # type: ignore[attr-defined]
                f"take x.tolist(). At {user_line()}."
            ) from error

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return np.asarray(realize(self)).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy copy of the value. Raises LostTapeError where a gradient is required, unless `force`."""
        if not force:
            self._refuse("numpy()", "x.detach().numpy()")
        return np.array(realize(self))

    # -- where it is -------------------------------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """The device (or the sharding over several) that holds the value."""
        value = realize(self)
        return value.device if isinstance(value, jax.Array) else jax.devices()[0]

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The tensor on a device or sharding of JAX's; gradients flow back to where it came from."""
        if device == self.device:
            return self
        return _namespaces.lift(functools.partial(jax.device_put, device=device))(self)

    def cpu(self) -> Any:
        """The tensor on the first CPU."""
        return self.to_device(jax.devices("cpu")[0])

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._aval.dtype.itemsize  # type: ignore[attr-defined]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.itemsize * self._aval.size  # type: ignore[attr-defined]

    def __dlpack__(self, **options: Any) -> Any:
        self._refuse("__dlpack__", "x.detach()")
        return self.value.__dlpack__(**options)  # type: ignore[attr-defined]

    def __dlpack_device__(self) -> Any:
        return self.value.__dlpack_device__()  # type: ignore[attr-defined]

    def __bool__(self) -> bool:
        value = realize(self)
        aval = self._a  # type: ignore[attr-defined]
        if aval.size != 1:
            raise ValueError(
                "the truth of a tensor with more than one element is ambiguous; use x.any() or x.all()"
            )
        # A memoryview reads a flag in the buffer in 1 us; bool(array) takes 12.
        computed = isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
        if computed and aval.dtype == bool and not aval.shape:
            try:
                return memoryview(value)[()]  # type: ignore[return-value]
            except (BufferError, TypeError, RuntimeError, jax.errors.JaxRuntimeError):
                return bool(value)  # on several devices, or not in this memory
        return bool(value.item()) if not isinstance(value, jax.core.Tracer) else bool(value)

    def __float__(self) -> float:
        return float(_one(realize(self)))

    def __int__(self) -> int:
        return int(_one(realize(self)))

    def __complex__(self) -> complex:
        return complex(_one(realize(self)))

    def __index__(self) -> int:
        value = realize(self)
        if not np.issubdtype(value.dtype, np.integer) or value.size != 1:
            raise TypeError(
                f"only a tensor of one integer can be an index, got {value.dtype} of shape {value.shape}"
            )
        return int(_one(value))

    # -- NumPy --------------------------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self._refuse("np.asarray", "np.asarray(x.detach())")
        value = np.asarray(lend(realize(self))).view()
        value.flags.writeable = False  # as JAX's: the tensor would change, and what was computed from it
        return np.array(value, dtype=dtype) if copy else value.astype(dtype or value.dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _namespaces.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        return _namespaces.function(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return _namespaces.numpy

    # -- JAX ----------------------------------------------------------------------------------------------------------

    @property
    def __jax_array__(self) -> Any:
        # A property: JAX asks for the attribute before anything else, and only this error then reaches the user. Its
        # own
        # operators ask, too, before they leave `array * tensor` to us; they are told that there is no such thing.
        if Path(sys._getframe(1).f_code.co_filename).name == "array_methods.py":
            raise AttributeError("__jax_array__")
        raise LostTapeError(
            "a plain JAX function was given a Tensor and would lose its recording. Use the function of the same "
            "name in "
            "autograd.numpy (.nn, .lax, .scipy, .linalg, .random), wrap your own with autograd.lift(f), or pass "
            "x.value "
            f"to compute without gradient. At {user_line()}."
        )

    def block_until_ready(self) -> Any:
        """Compute the value and wait for it; returns the tensor itself."""
        value = realize(self)
        if isinstance(value, jax.Array):
            value.block_until_ready()
        return self

    def _refuse(self, who: str, instead: str) -> None:
        if self.requires_grad:  # type: ignore[attr-defined]
            raise LostTapeError(
                f"{who}: this tensor requires grad, and NumPy would drop its gradient silently. Use {instead}, or "
                f"NumPy's "
                f"functions on the tensor itself (np.sin(x) is recorded). At {user_line()}."
            )


def _one(value: Any) -> Any:
    return value if isinstance(value, jax.core.Tracer) else value.item()
