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
everything that tensors know, but cannot look at a tensor's value. A second derivative differentiates backward; what it
saved has the derivative of what it is: of the argument, of this function where it is a result, and of forward's
own operations where it was computed on the way (which torch takes for a constant).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._errors import NoGradientError
from .._ground._lent import lend
from .._path._apart import apart
from .._path._recorded import Recorded, as_tensor
from .._path._trace import local
from .._segment._flush import realize
from .._tensor._namespaces import lift
from .._tensor._tensor import Tensor
from .._tools._checks import gradcheck


class Context:
    """What forward leaves for backward: saved tensors, and attributes of any kind.

    needs_input_grad: for each argument, whether it is a tensor that requires grad.
    """

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.saved_tensors: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Tensors (or None) that backward finds in saved_tensors."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Results through which no gradient flows: they do not require grad, and backward gets zeros for them."""
        self.non_differentiable = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Gradients that nobody asks for are always 0, never None."""

    def mark_dirty(self, *inputs: Any) -> None:
        """Refused: forward computes new tensors, and leaves its arguments as they are."""
        raise NotImplementedError(
            "mark_dirty: forward's arguments are not changed in place; return the new tensor, and write x.copy_(f(x))."
        )


class Function:
    """Base of functions with a derivative of their own; see the head of this file, and `check`.

    In place of forward(ctx, *args), a class may have forward(*args) and setup_context(ctx, inputs, output).

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

    setup_context: Callable[..., None] | None = None

    @staticmethod
    def forward(*args: Any) -> Any:
        """The value, from a context, tensors and whatever else `apply` was given."""
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
        needs = tuple(i in places and _needs(a) for i, a in enumerate(args))
        # The methods are named, so that what they read is part of the operation's key.
        run = functools.partial(
            _run, cls.__name__, cls.forward, cls.backward, cls.setup_context, places, others, needs
        )
        run.__name__ = cls.__name__  # type: ignore[attr-defined]
        found: _Results = lift(run)(*[args[i] for i in places])
        results = [x.detach() if mark else x for x, mark in zip(found.results, found.marks, strict=True)]
        return tuple(results) if found.several else results[0]

    @classmethod
    def check(cls, *args: Any, **options: Any) -> bool:
        """Compare backward with finite differences at these arguments, as gradcheck; raises where they disagree."""
        tensors = [a for a in args if isinstance(a, Tensor) and a.requires_grad]

        def of(*given: Any) -> Any:
            entering = iter(given)
            return cls.apply(*[next(entering) if any(a is t for t in tensors) else a for a in args])

        return gradcheck(of, tensors, **options)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Of a backward: its result cannot be differentiated again.

    Raises:
      NoGradientError: a second derivative.
    """

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        return jax.tree.map(lambda g: lift(_once)(g) if isinstance(g, Recorded) else g, backward(ctx, *grads))

    return once


@jax.custom_jvp
def _once(x: Any) -> Any:
    return x


@_once.defjvp
def _(primals: Any, tangents: Any) -> Any:
    raise NoGradientError("once_differentiable: this backward was said not to be differentiated again.")


def _needs(x: Any) -> bool:
    """Whether a gradient may flow to an argument: JAX does not tell before it has traced."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return False
    value = getattr(x, "_v", None) if isinstance(x, Recorded) else x
    return isinstance(value, jax.core.Tracer) or (
        isinstance(x, Recorded) and (x.requires_grad or local.trace.tracing)
    )


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["results"], meta_fields=["marks", "several"]
)
@dataclasses.dataclass
class _Results:
    """Results of forward, which of them are marked, and whether they came in a tuple."""

    results: tuple[Any, ...]
    marks: tuple[bool, ...]
    several: bool


class _Left:
    """All that forward left in its context: arrays, and apart from them everything else.

    roles: for each array, the number of the result that it is, or None.
    """

    def __init__(self, ctx: Context, results: tuple[Any, ...]) -> None:
        leaves, self.tree = jax.tree.flatten(vars(ctx))
        self.static = [None if isinstance(leaf, Recorded) else leaf for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Recorded)]
        self.arrays = [leaves[i] for i in self.places]
        self.roles = [next((k for k, r in enumerate(results) if r is a), None) for a in self.arrays]

    def context(self, arrays: Any) -> Context:
        """The context again, with these arrays."""
        leaves = list(self.static)
        for i, array in zip(self.places, arrays, strict=True):
            leaves[i] = array
        ctx = Context(())
        vars(ctx).update(jax.tree.unflatten(self.tree, leaves))
        return ctx


def _run(
    name: str,
    ahead: Callable[..., Any],
    back: Callable[..., Any],
    setup_context: Callable[..., None] | None,
    places: tuple,
    others: tuple,
    needs: tuple,
    *arrays: Any,
) -> _Results:
    """forward on arrays, with backward as its derivative."""
    left: list[_Left] = []  # by forward, where it was traced last

    def forward(*given: Any) -> tuple[_Results, Any]:
        ctx = Context(needs)
        by_place = dict(others) | dict(zip(places, given, strict=True))
        args = [by_place[i] for i in sorted(by_place)]
        out = ahead(ctx, *args) if setup_context is None else ahead(*args)
        if setup_context is not None:
            setup_context(ctx, tuple(args), out)
        several = isinstance(out, tuple | list)
        results = tuple(out) if several else (out,)
        marks = tuple(any(r is m for m in ctx.non_differentiable) for r in results)
        left[:] = [_Left(ctx, results)]
        return _Results(results, marks, several), left[0].arrays

    def backward(saved: Any, *cotangents: Any) -> list[Any]:
        found = back(left[0].context(saved), *cotangents)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) < len(needs):
            raise TypeError(
                f"{name}.backward: {len(needs)} arguments need as many gradients (None for those without), "
                f"got {len(found)}."
            )
        return [found[i] for i in places]

    of_arrays = _pure(forward)

    @jax.custom_vjp
    def fn(*given: Any) -> Any:
        return of_arrays(*given)[0]

    def fwd(*given: Any) -> Any:
        out, saved = of_arrays(*given)
        roles = left[0].roles
        if any(role is not None for role in roles):  # a result has the derivative of this function
            out = fn(*given)
            saved = [s if role is None else out.results[role] for s, role in zip(saved, roles, strict=True)]
        return out, (saved, given, [jnp.zeros(r.shape, r.dtype) for r in out.results])

    def bwd(residual: Any, cotangents: _Results) -> Any:
        saved, given, zeros = residual
        kept = [
            zero if mark or g.dtype == jax.dtypes.float0 else g
            for g, zero, mark in zip(cotangents.results, zeros, cotangents.marks, strict=True)
        ]
        found = _pure(backward)(saved, *kept)
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
