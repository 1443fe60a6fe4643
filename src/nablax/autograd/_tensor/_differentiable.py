"""What a tensor says and does about gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._gradient._backward import backward
from .._gradient._hooks import add_hook, keep
from .._ground._errors import NoGradientError
from .._operation._written import by
from .._operation._written._elementwise import same
from .._path._record import emit, record
from .._path._recorded import as_tensor, is_recorded, value_of
from .._path._trace import local
from .._segment._flush import flush, realize
from ._make import as_cotangent
from ._replacing import renew
from ._views import view


class Differentiable:
    """Whether gradients flow to a tensor, where they are kept, and how they are asked for."""

    __slots__ = ()

    @property
    def requires_grad(self: Any) -> bool:
        """Whether gradients flow to this tensor."""
        state = self._s
        return state.needs if state is not None else self._r or self._n is not None

    @requires_grad.setter
    def requires_grad(self: Any, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self: Any, flag: bool = True) -> Any:
        """Make a leaf require gradients, or not; returns the tensor itself.

        Raises:
          NoGradientError: the tensor was computed from others that require grad (use detach), or is not of
            floating or complex numbers.
        """
        if flag == self.requires_grad:
            return self
        if not flag and not self._r:
            raise NoGradientError(
                "requires_grad_: only a leaf can stop requiring grad; this tensor was computed. Use y = y.detach()."
            )
        if flag and not self._aval.inexact:
            raise NoGradientError(
                f"requires_grad_: only floating and complex tensors carry gradients, got {self.dtype}."
            )
        realize(self)
        if self._s is not None:  # an input of the open recording, under its old flag
            flush(local.trace)
        self._r = flag
        return self

    @property
    def is_leaf(self: Any) -> bool:
        """Whether this tensor was not computed from others that require grad."""
        return self._r or not self.requires_grad

    @property
    def grad(self: Any) -> Any:
        """The gradient accumulated so far; None before the first backward. Intermediates need retain_grad()."""
        found = self._g
        if found is not None and found._view is not None:
            renew(found, "grad")
        return found

    @grad.setter
    def grad(self: Any, gradient: Any) -> None:
        if gradient is None:
            self._g = None
            return
        gradient = as_tensor(as_cotangent(gradient))._plain()
        if gradient.shape != self.shape:
            raise ValueError(f"grad: shape must be {self.shape}, got {gradient.shape}.")
        self._g = gradient if gradient.dtype == self.dtype else gradient.astype(self.dtype)

    def _plain(self: Any) -> Any:
        """The tensor, which may be indexed with 0 from here on: see _bare.py."""
        return self

    def zero_grad(self: Any) -> None:
        """Forget the accumulated gradient."""
        self._g = None

    def backward(
        self: Any,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        *,
        lazy: bool = False,
    ) -> None:
        """Accumulate the gradient of this tensor in `.grad` of the leaves it was computed from.

        Args:
          gradient: cotangent, of this tensor's shape; may be left out for a single number.
          retain_graph: keep the graph for another backward; default is `create_graph`.
          create_graph: record the backward itself, so that gradients can be differentiated.
          lazy: leave the backward recorded, so that an update that follows joins its program.

        Raises:
          NonScalarError: more than one number and no `gradient`.
          NoGradientError: the tensor does not require grad.
          GraphFreedError: an earlier backward freed the graph.
        """
        retain = create_graph if retain_graph is None else retain_graph
        backward(
            (self,),
            (None if gradient is None else as_cotangent(gradient),),
            retain,
            create_graph,
            lazy,
        )

    def detach(self: Any) -> Any:
        """The same value without gradient."""
        if is_recorded(self):
            trace = local.trace
            state = trace.state.edges.get(("detach", self._s))
            if state is None:
                state = record("detach", _build_detach, (self,), sever=True)
            trace.state = state
            made = emit(trace, state)
        else:
            made = as_tensor(value_of(self))
        return view(self, made, None, apart=True)

    def retain_grad(self: Any) -> None:
        """Keep the gradient of this intermediate in `.grad`, too."""
        if not self.requires_grad:
            raise NoGradientError("retain_grad: this tensor does not require grad.")
        if not self._r and not self._keep:
            self._keep = True
            keep(self)

    def register_hook(self: Any, hook: Callable[[Any], Any]) -> Any:
        """Call `hook(gradient)` whenever a gradient for this tensor is computed; what it returns replaces the gradient.

        Returns a handle whose `remove()` takes the hook away again.
        """
        return add_hook(self, hook)


def _build_detach() -> tuple[str, Callable[..., Any]]:
    return "detach", by(same, lambda a: a)
