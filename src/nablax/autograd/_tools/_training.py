"""How an optimizer sees tensors: four functions over pytrees that contain them.

    values(tree)            arrays in the place of tensors
    grads(tree)             arrays of accumulated gradients; None where there is none
    assign(tree, values)    new values for leaves, in place
    update(fn, tree, ...)   fn(values, grads, ...) recorded, so that it joins the program of a lazy backward

Leaves of the tree that are no tensors pass through `values` and stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._answers import must_be_callable
from .._ground._aval import aval_of, inside
from .._ground._errors import ShapeError
from .._ground._lent import lend
from .._path._recorded import is_recorded
from .._path._trace import local
from .._segment._flush import flush, realize
from .._tensor._grad_mode import no_grad
from .._tensor._namespaces import lift
from .._tensor._replacing import replace
from .._tensor._tensor import Parameter, Tensor


def parameters(tree: Any) -> Any:
    """The pytree with a Parameter in the place of every array of floating or complex numbers (a flax or equinox
    module's)."""

    def into(leaf: Any) -> Any:
        is_array = isinstance(leaf, jax.Array | np.ndarray)
        return Parameter(leaf) if is_array and jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf

    return jax.tree.map(into, tree)


def values(tree: Any, *, numpy: bool = False) -> Any:
    """The pytree with arrays in the place of tensors.

    numpy: leave values that NumPy computed as they are, read-only: a jitted function takes them, too, and making them
      JAX's takes some 20 us each.
    """
    leaves, treedef = jax.tree.flatten(tree)
    return jax.tree.unflatten(treedef, [_array(x, numpy) if isinstance(x, Tensor) else x for x in leaves])


def grads(tree: Any, *, numpy: bool = False) -> Any:
    """The pytree with accumulated gradients, as arrays, in the place of tensors; None where there is none.

    numpy: as for `values`.
    """
    leaves, treedef = jax.tree.flatten(tree)
    found = [leaf.grad if isinstance(leaf, Tensor) else None for leaf in leaves]
    return jax.tree.unflatten(treedef, [None if g is None else _array(g, numpy) for g in found])


def _array(tensor: Tensor, numpy: bool) -> Any:
    if numpy:
        value = realize(tensor)
        if value.__class__ is np.ndarray and value.dtype == tensor._a.dtype:
            value = value.view()
            value.setflags(write=False)
            return value
    return tensor.value


def assign(tree: Any, values: Any, *, take: bool = False) -> None:
    """Give the tensors in a pytree new values, in place; what was computed with the old ones keeps them.

    take: NumPy's arrays among them are taken as they are, for nobody writes to them any more.

    Raises:
      ShapeError: a value of another shape or dtype.
    """
    trace = local.trace
    both: Any = map(jax.tree.flatten, (tree, values))
    (tensors, treedef), (arrays, theirs) = both
    if treedef != theirs:  # None may stand for what is no tensor
        tensors, arrays = (jax.tree.leaves(t, is_leaf=lambda leaf: leaf is None) for t in (tree, values))
    for tensor, value in zip(tensors, arrays, strict=True):
        if not isinstance(tensor, Tensor):
            continue
        if isinstance(value, Tensor):
            value = realize(value)
        aval = tensor._a if tensor._s is None else tensor._s.aval
        fits = value.__class__ is np.ndarray and value.shape == aval.shape and value.dtype == aval.dtype
        if not fits or aval.weak:
            fits, aval = False, aval_of(value)
            if aval.shape != tensor.shape or aval.dtype != tensor.dtype:
                was = f"{tensor.dtype}{list(tensor.shape)}"
                raise ShapeError(f"assign: the tensor is {was}, the value {aval.dtype}{list(aval.shape)}.")
        if tensor._s is not None:  # part of the open recording, under its old value
            flush(trace)
        if isinstance(value, jax.Array):
            value = lend(value)
        elif not (fits and take):
            # A copy of what NumPy holds, for its owner may write to it.
            value = np.array(value, aval.dtype)
            aval = inside(value)
        tensor._v, tensor._a = value, aval
        tensor._mark = object()
        if not tensor._r:
            tensor._n = None


def update(fn: Callable[..., Any], tree: Any, *state: Any) -> Any:
    """Update leaves by a JAX function of their values and gradients, as part of the recording.

    `fn(values, grads, *state)` returns new values and new state. With `loss.backward(lazy=True)` before it, forward,
    backward and update are one compiled program. Gradients that are None raise, so zero them only after the update.

    Returns:
      The new state, tensors in the place of arrays; pass it on to the next update.
    """
    must_be_callable("update", "fn", fn)
    tensors, treedef = jax.tree.flatten(tree)
    for each in tensors:
        if not isinstance(each, Tensor):
            raise ShapeError(
                f"update: tree must hold tensors alone, got {type(each).__name__}: {each!r}."[:300]
            )
    recorded = False
    with no_grad():
        new_state = _replaced(fn, tree, tensors, treedef, state)
        for tensor in tensors:
            tensor._g = None
            recorded = recorded or is_recorded(tensor)
    if recorded:
        flush(local.trace)
    return new_state


def _replaced(fn: Callable[..., Any], tree: Any, tensors: list[Any], treedef: Any, state: Any) -> Any:
    """The new state, once the tensors have their new values.

    A function of its own, so that nothing here still holds gradients and values when the segment ends: they would be
    results of its program.
    """
    gradients = jax.tree.unflatten(treedef, [tensor.grad for tensor in tensors])
    values, new_state = lift(fn)(tree, gradients, *state)
    for tensor, value in zip(tensors, jax.tree.leaves(values), strict=True):
        replace(tensor, value, "update")
    return new_state
