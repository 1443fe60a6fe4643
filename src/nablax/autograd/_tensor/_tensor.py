"""The Tensor: an array that remembers how it was computed."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._aval import Aval
from .._ground._lent import lend
from .._ground._settings import holding
from .._path._recorded import Recorded
from .._segment._flush import realize
from . import _recording
from ._differentiable import Differentiable
from ._indexing import Indexing
from ._inplace import InPlace
from ._interop import Interop, Telling
from ._make import make
from ._methods import Methods
from ._operators import Operators
from ._replacing import swap
from ._torch._methods import Size, size_of


class Tensor(Differentiable, Operators, Methods, Indexing, InPlace, Interop, Recorded, metaclass=Telling):
    """An array in a recording. Made by `autograd.tensor`, and by operations on tensors.

    An operation is only recorded; a value is computed when Python needs one (`float`, `bool`, `print`, NumPy,
    `backward`, `realize`), together with everything recorded until then, by one compiled program.

    >>> from nablax import autograd
    >>> x = autograd.tensor([0., 1., 2., 3.], requires_grad=True)
    >>> y = 2 * autograd.dot(x, x)
    >>> y.backward()
    >>> x.grad.tolist()
    [0.0, 4.0, 8.0, 12.0]
    """

    __slots__ = ()

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def _aval(self) -> Aval:
        return self._a if self._s is None else self._s.aval

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._aval.shape

    @property
    def dtype(self) -> Any:
        """The type of the elements."""
        return self._aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._aval.shape)

    @property
    def size(self) -> Size:
        """The number of elements; called, as `x.size()` and `x.size(0)`, the lengths of the axes."""
        return size_of(self._aval)

    @property
    def weak_type(self) -> bool:
        """Whether the dtype gives way to that of others, as a Python number's does."""
        return self._aval.weak

    @property
    def name(self) -> str | None:
        """A name for messages and drawings."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    # -- its value --------------------------------------------------------------------------------------------------

    @property
    def value(self) -> jax.Array:
        """The value as a JAX array, without gradient."""
        found = realize(self)
        if not isinstance(found, jax.Array):
            with holding(self.dtype):
                found = jnp.asarray(found, dtype=self.dtype)
        return lend(found)

    @property
    def data(self) -> Tensor:
        """The value as a tensor without gradient; what is written to it is written to this tensor."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        swap(self, value)

    def realize(self) -> Tensor:
        """Compute the value now; returns the tensor itself."""
        realize(self)
        return self

    # -- Python -----------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        body = (
            np.array2string(np.asarray(realize(self)), separator=", ", prefix="tensor(")
            if _printable(self)
            else "..."
        )
        tail = ", requires_grad=True" if self._r else ", computed" if self.requires_grad else ""
        dtype = "" if self.dtype in (np.float32, np.int32, np.bool_) else f", dtype={self.dtype}"
        return f"{'Parameter' if isinstance(self, Parameter) else 'tensor'}({body}{dtype}{tail})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(repr(self), spec)

    def __deepcopy__(self, memo: dict) -> Tensor:
        revive, arguments = self.__reduce__()
        made = revive(*arguments)
        made._g = copy.deepcopy(self._g, memo)
        return made

    def __reduce__(self) -> tuple:
        return _revive, (type(self), np.asarray(realize(self)), self._r, self._name)


class Parameter(Tensor):
    """A tensor that requires grad from the start: a weight."""

    __slots__ = ()

    def __new__(cls, value: Any, requires_grad: bool = True, name: str | None = None) -> Any:
        return tensor(value, requires_grad=requires_grad, name=name, _kind=cls)


def tensor(
    value: Any,
    dtype: Any = None,
    *,
    requires_grad: bool = False,
    name: str | None = None,
    _kind: type = Tensor,
) -> Tensor:
    """A tensor with a copy of a value.

    Args:
      value: a number, nested lists, a NumPy or JAX array, or a tensor (whose value is taken, without its graph).
      dtype: default JAX's own: float32 for floats, int32 for ints, unless x64 is enabled.
      requires_grad: whether gradients accumulate in `.grad`.
      name: for messages and drawings.

    Raises:
      TypeError: no numbers.
      NoGradientError: requires_grad of integers or truth values.
      LostTapeError: a list of tensors that require grad, outside no_grad().

    >>> from nablax import autograd
    >>> autograd.tensor([1., 2.])
    tensor([1., 2.])
    """
    return make(value, dtype, requires_grad, name, _kind)


def zero_grad(tensors: Any) -> None:
    """Forget the accumulated gradients of all tensors in a pytree."""
    for leaf in jax.tree.leaves(tensors):
        if isinstance(leaf, Tensor):
            leaf.zero_grad()


def _printable(tensor: Tensor) -> bool:
    return not isinstance(realize(tensor), jax.core.Tracer)


def _revive(kind: type, value: Any, requires_grad: bool, name: str | None) -> Tensor:
    with holding(value.dtype):
        return tensor(value, requires_grad=requires_grad, name=name, _kind=kind)


_recording.use(Tensor)
