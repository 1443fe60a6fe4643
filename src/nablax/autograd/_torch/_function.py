"""A function with a derivative of your own, in one class.

    class Square(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    y = Square.apply(x)

It is jax.custom_vjp of the two methods, lifted: both are traced and become operations, so they may use
everything that tensors know, but cannot look at a tensor's value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._lent import lend
from .._path._apart import apart
from .._path._recorded import Recorded, as_tensor
from .._segment._flush import realize
from .._tensor._namespaces import lift
from .._tensor._tensor import Tensor
from .._tools._checks import gradcheck
from .._tools._functional import functional


class Context:
    """What forward leaves for backward: saved tensors, and attributes of any kind.

    needs_input_grad: for each argument, whether it is a tensor of floating or complex numbers.
    """

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Tensors (or None) that backward finds in saved_tensors."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Nothing to do: what backward returns is what counts."""

    def set_materialize_grads(self, value: bool) -> None:
        """Gradients that nobody asks for are always 0, never None."""


class Function:
    """Base of functions with a derivative of their own; see the head of this file, and `check`.

    >>> from nablax import autograd
    >>> class Square(autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = autograd.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """The value, from tensors and whatever else `apply` was given."""
        raise NotImplementedError("Function: a static method forward(ctx, *args) is needed.")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Gradients of the arguments (None for those that have none), given those of the outputs."""
        raise NotImplementedError("Function: a static method backward(ctx, *grads) is needed.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute forward(ctx, *args), recorded with backward as its derivative."""
        places = tuple(i for i, a in enumerate(args) if isinstance(a, Recorded | jax.Array | np.ndarray))
        others = tuple((i, a) for i, a in enumerate(args) if i not in places)
        needs = tuple(i in places and bool(jnp.issubdtype(a.dtype, jnp.inexact)) for i, a in enumerate(args))
        run = functools.partial(_run, cls, places, others, needs)
        return lift(run)(*[args[i] for i in places])

    @classmethod
    def check(cls, *args: Any, **options: Any) -> bool:
        """Compare backward with finite differences at these arguments, as gradcheck; raises where they disagree."""
        tensors = [a for a in args if isinstance(a, Tensor) and a.requires_grad]

        def of(*given: Any) -> Any:
            entering = iter(given)
            return cls.apply(*[next(entering) if any(a is t for t in tensors) else a for a in args])

        return gradcheck(of, tensors, **options)


def _run(cls: Any, places: tuple, others: tuple, needs: tuple, *arrays: Any) -> Any:
    """forward on arrays, with backward as its derivative."""
    context: list[Any] = []

    def forward(*given: Any) -> tuple[Any, Any]:
        ctx = Context(needs)
        args = dict(others) | dict(zip(places, given, strict=True))
        out = cls.forward(ctx, *[args[i] for i in sorted(args)])
        kept = {k: v for k, v in vars(ctx).items() if k not in ("saved_tensors", "needs_input_grad")}
        held = {k: v for k, v in kept.items() if isinstance(v, Recorded)}
        context[:] = [{k: v for k, v in kept.items() if k not in held}]
        return out, (ctx.saved_tensors, held)

    def backward(saved: Any, *cotangents: Any) -> list[Any]:
        ctx: Any = Context(needs)
        vars(ctx).update(context[0])
        ctx.saved_tensors, held = saved
        vars(ctx).update(held)
        found = cls.backward(ctx, *cotangents)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) < len(needs):
            raise TypeError(
                f"{cls.__name__}.backward: {len(needs)} arguments need as many gradients (None for those without), "
                f"got {len(found)}."
            )
        return [found[i] for i in places]

    of_arrays = _pure(forward)

    @jax.custom_vjp
    def fn(*given: Any) -> Any:
        return of_arrays(*given)[0]

    def fwd(*given: Any) -> Any:
        out, saved = of_arrays(*given)
        return out, (saved, given)

    def bwd(residual: Any, cotangents: Any) -> Any:
        saved, given = residual
        given_cts: Sequence[Any] = cotangents if isinstance(cotangents, tuple | list) else (cotangents,)
        found = _pure(backward)(saved, *given_cts)
        return tuple(_cotangent(g, x) for g, x in zip(found, given, strict=True))

    fn.defvjp(fwd, bwd)
    return fn(*arrays)


def _pure(fn: Callable[..., Any]) -> Callable[..., Any]:
    """As `functional`, wherever JAX traces: the recording that is open, or that runs, is left alone."""

    def pure(*args: Any) -> Any:
        with apart():
            args = jax.tree.map(as_tensor, args)
            return jax.tree.map(lambda x: lend(realize(x)) if isinstance(x, Recorded) else x, fn(*args))

    return pure


def _cotangent(g: Any, x: Any) -> Any:
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return np.zeros(x.shape, jax.dtypes.float0)
    return jnp.zeros_like(x) if g is None else jnp.asarray(g, x.dtype)


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool = False) -> Any:
    """function(*args), recorded so that its backward computes it again instead of keeping what is inside.

    The function takes tensors; tensors that it only closes over count as constants, so pass parameters as arguments.
    """
    return lift(jax.checkpoint(functional(function)))(*args)
