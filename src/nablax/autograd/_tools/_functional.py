"""Derivatives as functions: grad, vjp, jvp, hvp, jacobian, hessian; and `functional`, the way back to pure JAX.

grad          d y / d x as tensors, .grad untouched
jacobian      [i, j] = d y_i / d x_j
jvp           J v, from two backwards: v^T is linear in u for u^T J, so J v = d(u^T J v)/du
hvp           H v = d(grad^T v)/dx
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._gradient._backward import gradients
from .._ground._answers import must_be_callable
from .._ground._errors import NoGradientError, ShapeError
from .._ground._lent import lend
from .._path._apart import apart
from .._path._recorded import Recorded, as_tensor
from .._path._trace import local
from .._segment._flush import flush, realize
from .._tensor._bare import bare
from .._tensor._grad_mode import enable_grad
from .._tensor._make import as_cotangent
from .._tensor._namespaces import numpy
from .._tensor._tensor import Tensor, tensor


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """Gradients of `outputs` with respect to `inputs`, as tensors; `.grad` stays as it is.

    Args:
      outputs: a tensor, or a sequence of tensors whose gradients are summed.
      inputs: a tensor or a pytree of tensors, leaves or intermediates; the result has the same structure. Of one tensor
        it is the gradient itself, not a tuple as torch's: `grad(y, x)[0]` raises, and `grad(y, [x])[0]` is right.
      grad_outputs: cotangents, one for each output; may be left out for single numbers.
      retain_graph: keep the graph for another backward; default is `create_graph`.
      create_graph: record the backward, so that the gradients can be differentiated.
      allow_unused: give None, instead of raising, for inputs that the outputs do not depend on.

    Raises:
      NoGradientError: an input that does not require grad, or on which the outputs do not depend.

    >>> from nablax import autograd
    >>> x = autograd.tensor(3.0, requires_grad=True)
    >>> g = autograd.grad(x ** 3, x, create_graph=True)
    >>> autograd.grad(g, x)
    tensor(18.)
    """
    roots = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
    if grad_outputs is None:
        cotangents: tuple = (None,) * len(roots)
    else:
        given = tuple(grad_outputs) if isinstance(outputs, tuple | list) else (grad_outputs,)
        if len(given) != len(roots):
            raise TypeError(f"grad: {len(roots)} outputs need as many grad_outputs, got {len(given)}.")
        cotangents = tuple(None if ct is None else as_cotangent(ct) for ct in given)
    leaves, tree = jax.tree.flatten(inputs)
    for who, tensors in (("outputs", roots), ("inputs", leaves)):
        for each in tensors:
            _only_tensor(f"grad: {who}", each)
    retain = create_graph if retain_graph is None else retain_graph
    found = gradients(roots, leaves, cotangents, retain, create_graph)
    for i, g in enumerate(found):
        if g is None and not allow_unused:
            raise NoGradientError(
                f"grad: the outputs do not depend on input {i}. Pass allow_unused=True to get None for such inputs."
            )
    if leaves and inputs is leaves[0] and found[0] is not None:
        return bare(found[0], cotangents)
    return jax.tree.unflatten(tree, found)


def vjp(
    fn: Callable[..., Any], *primals: Any, create_graph: bool = False
) -> tuple[Any, Callable[[Any], Any]]:
    """Value of `fn` and its pullback: `pull(v)` gives v^T J, one tensor for each primal."""
    must_be_callable("vjp", "fn", fn)
    xs = _fresh(primals)
    with enable_grad():
        y = _only_tensor("vjp: the result of fn", fn(*xs))

    def pull(v: Any) -> Any:
        found = _grad(y, list(xs), v, retain_graph=True, create_graph=create_graph, allow_unused=True)
        return tuple(numpy.zeros_like(x.detach()) if g is None else g for g, x in zip(found, xs, strict=True))

    return y if create_graph else y.detach(), pull


def jvp(
    fn: Callable[..., Any], primals: Any, tangents: Any, *, create_graph: bool = False
) -> tuple[Any, Any]:
    """Value of `fn` and J v at `primals` (a tensor or a tuple of them) in the direction `tangents`."""
    must_be_callable("jvp", "fn", fn)
    primals, tangents = _tuple(primals), _tuple(tangents)
    xs = _fresh(primals)
    for i, (x, v) in enumerate(zip(xs, tangents, strict=True)):
        _same_shape(f"jvp: tangent {i}", v, x)
    with enable_grad():
        y = _only_tensor("jvp: the result of fn", fn(*xs))
        u = tensor(np.zeros(y.shape, y.dtype), requires_grad=True)
        pulled = _grad(y, list(xs), u, retain_graph=True, create_graph=True, allow_unused=True)
        along = [(g * v).sum() for g, v in zip(pulled, tangents, strict=True) if g is not None]
        if not along:
            return y.detach(), numpy.zeros_like(y.detach())
        tangent = grad(functools.reduce(lambda a, b: a + b, along), u, create_graph=create_graph)
    return y if create_graph else y.detach(), tangent


def hvp(fn: Callable[..., Any], x: Any, v: Any, *, create_graph: bool = False) -> tuple[Any, Any]:
    """Value of `fn` (one number) and H v, its Hessian times `v`, without forming the Hessian."""
    must_be_callable("hvp", "fn", fn)
    (at,) = _fresh((x,))
    _same_shape("hvp: v", v, at)
    with enable_grad():
        y = _only_tensor("hvp: the result of fn", fn(at))
        g = _grad(y, at, create_graph=True, allow_unused=True)
        if g is None or not g.requires_grad:  # linear: no second derivative
            return y.detach(), numpy.zeros_like(at.detach())
        product = grad((g * v).sum(), at, create_graph=create_graph)
    return y if create_graph else y.detach(), product


def jacobian(y: Any, x: Any, *, create_graph: bool = False) -> Any:
    """The matrix of derivatives: shape `y.shape + x.shape`.

    Args:
      y: a tensor computed from `x`, whose graph is kept; or a function of `x`.
      x: a tensor, or a sequence of tensors (one matrix for each).
      create_graph: record it, so that it can be differentiated.

    >>> from nablax import autograd
    >>> x = autograd.tensor([1., 2.], requires_grad=True)
    >>> autograd.jacobian(x * x, x)
    tensor([[2., 0.],
            [0., 4.]])
    """
    several = isinstance(x, tuple | list)
    for each in x if several else (x,):
        if isinstance(y, Recorded):
            _only_tensor("jacobian: x", each)
    if isinstance(y, Recorded):
        xs = list(x) if several else [x]
    else:
        must_be_callable("jacobian", "y, where it is no tensor,", y)
        xs = list(_fresh(tuple(x) if several else (x,)))
        with enable_grad():
            y = y(*xs)
    _only_tensor("jacobian: y, or its result,", y)
    columns: list[list[Any]] = [[] for _ in xs]
    for i in range(math.prod(y.shape)):
        row = np.zeros(y.size, y.dtype)
        row[i] = 1
        found = _grad(
            y, xs, row.reshape(y.shape), retain_graph=True, create_graph=create_graph, allow_unused=True
        )
        for column, g, at in zip(columns, found, xs, strict=True):
            column.append(as_tensor(jnp.zeros(at.shape, at.dtype)) if g is None else g)
    matrices = [
        numpy.stack(rows).reshape(y.shape + at.shape) if rows else numpy.zeros(y.shape + at.shape, at.dtype)
        for rows, at in zip(columns, xs, strict=True)
    ]
    return matrices if several else matrices[0]


def hessian(fn: Callable[[Any], Any], x: Any, *, create_graph: bool = False) -> Any:
    """The matrix of second derivatives of a function to one number: shape `x.shape + x.shape`.

    >>> from nablax import autograd
    >>> autograd.hessian(lambda x: (x ** 3).sum(), autograd.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    must_be_callable("hessian", "fn", fn)
    (at,) = _fresh((x,))
    with enable_grad():
        g = _grad(_only_tensor("hessian: the result of fn", fn(at)), at, create_graph=True, allow_unused=True)
        if g is None or not g.requires_grad:
            return numpy.zeros(at.shape + at.shape, at.dtype)
        return jacobian(g, at, create_graph=create_graph)


def functional(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The pure JAX function of a function written with tensors: arrays in, arrays out.

    It can be given to jax.jit, grad, vmap and the rest, so that the same code is debugged eagerly and shipped compiled.
    Array arguments (in pytrees, too) arrive in `fn` as tensors; tensors in its result leave as arrays. Inside a
    transformation, branching on a traced value raises as it does in JAX.

    >>> import jax
    >>> from nablax import autograd
    >>> f = autograd.functional(lambda x: (x * x).sum())
    >>> jax.jit(jax.grad(f))(jax.numpy.array([1., 2.]))
    Array([2., 4.], dtype=float32)
    """

    must_be_callable("functional", "fn", fn)

    @functools.wraps(fn)
    def pure(*args: Any, **kwargs: Any) -> Any:
        with jax.ensure_compile_time_eval():
            flush(local.trace)

        def into(x: Any) -> Any:
            return as_tensor(x) if isinstance(x, jax.Array | np.ndarray) else x

        args, kwargs = jax.tree.map(into, (args, kwargs))
        with apart():
            return jax.tree.map(
                lambda x: lend(realize(x)) if isinstance(x, Recorded) else x, fn(*args, **kwargs)
            )

    return pure


def _grad(y: Any, inputs: Any, *args: Any, **options: Any) -> Any:
    """grad, or None for each input where `y` depends on none of them."""
    if y.requires_grad:
        return grad(y, inputs, *args, **options)
    return jax.tree.map(lambda x: None, inputs)


def _same_shape(who: str, v: Any, x: Any) -> None:
    if np.shape(v) != x.shape:
        raise ShapeError(f"{who} must have the shape of its primal, {x.shape}, got {np.shape(v)}.")


def _only_tensor(who: str, x: Any) -> Any:
    if not isinstance(x, Recorded):
        of = f" of {len(x)}" if isinstance(x, tuple | list | dict) else ""
        raise TypeError(f"{who} must be a tensor, got a {type(x).__name__}{of}.")
    return x


def _tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def _fresh(xs: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments to differentiate by: as they are where they carry gradients, else as leaves of their own."""
    return tuple(
        x if isinstance(x, Tensor) and x.requires_grad else tensor(x, requires_grad=True) for x in xs
    )
