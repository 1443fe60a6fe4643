"""What `grad(y, x)` of one tensor returns: the gradient, where torch's users expect a tuple of one.

As a tensor it does what tensors do, except for the two things that a tuple would be asked for, which would
silently give a row: `[0]`, and unpacking. Both raise and say how the gradient, and how its first row, is
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._ground._errors import TupleError, user_line
from ._tensor import Tensor


class Gradient(Tensor):
    """The gradient with respect to one tensor."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if index.__class__ is int and index == 0:
            raise _error("g[0]")
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        raise _error("unpacking")

    def __reduce__(self) -> tuple:
        revive, (_, *rest) = super().__reduce__()
        return revive, (Tensor, *rest)

    def _plain(self) -> Tensor:
        self.__class__ = Tensor  # type: ignore[assignment]
        return self


def bare(gradient: Any, given: Sequence[Any]) -> Any:
    """A gradient as the bare result of `grad`; a tensor that somebody gave stays what it is."""
    if type(gradient) is not Tensor or gradient._r or any(gradient is ct for ct in given):
        return gradient
    gradient.__class__ = Gradient
    return gradient


def _error(what: str) -> TupleError:
    return TupleError(
        f"grad(y, x) of one tensor is the gradient itself, not a tuple as in torch, so {what} would be its first row. "
        f"For the gradient write grad(y, x), or as in torch grad(y, [x])[0]; for its first row g[0, ...], for its rows "
        f"g.unbind(). At {user_line()}."
    )
