"""The function that a line search sees: f along a ray, and what `update` must be given for it."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import ArgumentError, MissingParamsError, Transformation, automatic
from nablax.tree import is_none


class LineSearch(Transformation):
    """A transformation after which the state holds the value and, if `stores_grad`, the gradient at the new point."""

    __slots__ = ()

    @property
    def stores_grad(self) -> bool:
        """Whether the state holds the gradient at the new point."""
        return self.arguments.get("store_grad", True)


def required(
    who: str, updates: Any, params: Any, value: Any, grad: Any, value_fn: Any
) -> tuple[jax.Array, Any]:
    """Names what a call of `update` lacks; otherwise the value in at least float32, and the gradient."""
    call = "Call update(updates, state, params, value=value, grad=grad, value_fn=value_fn)."
    if params is None:
        raise MissingParamsError(f"{who} reads the parameters, but update() got params=None. {call}")
    for name, given in (("value", value), ("grad", grad), ("value_fn", value_fn)):
        if given is None:
            raise ArgumentError(f"{who}: update() needs {name} as a keyword argument. {call}")
    if not callable(value_fn):
        raise ArgumentError(f"{who}: value_fn must be a function of params, got {type(value_fn).__name__}.")
    if jnp.shape(value) != ():
        raise ArgumentError(f"{who}: value must be a scalar, got shape {jnp.shape(value)}.")
    return jnp.asarray(value, scalar_dtype(updates, value)), grad


def scalar_dtype(*trees: Any) -> Any:
    """The real dtype, float32 at least, of values, slopes and rates: that of all leaves together."""
    # Of each leaf by itself: weakly typed float64 leaves would otherwise give way to float32.
    dtypes = [jnp.result_type(x) for x in jax.tree.leaves(trees)]
    dtype = tree.at_least_float32(jnp.result_type(*dtypes, jnp.float32))
    return jnp.finfo(dtype).dtype


def accepted_kwargs(fn: Callable[..., Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Those extra arguments that `fn` names; all where it takes any keyword."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # some built-in callables have no signature
        return {}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(extra)
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {k: v for k, v in extra.items() if k in names}


def only_accepted(who: str, value_fn: Callable[..., Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The extra arguments of `update`; refuses those that `value_fn` does not take."""
    kwargs = accepted_kwargs(value_fn, extra)
    if unknown := sorted(extra.keys() - kwargs.keys()):
        raise ArgumentError(f"{who}: Unexpected keyword arguments, which value_fn does not take: {unknown}.")
    return kwargs


def _vdot(x: Any, y: Any, dtype: Any) -> jax.Array:
    x, y = (jnp.asarray(a, dtype if not jnp.iscomplexobj(a) else None) for a in (x, y))
    if jnp.iscomplexobj(x) or jnp.iscomplexobj(y):
        return jnp.sum(x.real * y.real + x.imag * y.imag, dtype=dtype)
    # Contracting all axes keeps sharded leaves as they are, and takes XLA's fast dot where a reduction would not.
    axes = tuple(range(x.ndim))

    def dot(x: jax.Array, y: jax.Array) -> jax.Array:
        return lax.dot_general(x, y, ((axes, axes), ((), ())), precision=lax.Precision.HIGHEST)

    return automatic(dot, (x, y), jnp.zeros(()))(x, y)


def inner(x: Any, y: Any, dtype: Any) -> jax.Array:
    """Re sum conj(x) y over all leaves, in `dtype`: the inner product of the real vector space."""
    terms = jax.tree.leaves(jax.tree.map(lambda a, b: _vdot(a, b, dtype), x, y))
    return tree.reduce_scalars(operator.add, [jnp.zeros((), dtype), *terms])


def scaled(rate: jax.Array, updates: Any) -> Any:
    """rate * u, in the dtypes of the updates; zeros for the rate 0, also where u is not finite."""

    def leaf(u: Any) -> Any:
        u = jnp.asarray(u)
        wide = tree.at_least_float32(u.dtype)
        step = rate.astype(jnp.finfo(wide).dtype) * u.astype(wide)
        return jnp.where(rate == 0, 0, step).astype(u.dtype)

    return jax.tree.map(leaf, updates)


def moved(params: Any, rate: jax.Array, updates: Any) -> Any:
    """Where `apply_updates` will be after the step `scaled(rate, updates)`."""

    def leaf(w: Any, u: Any) -> Any:
        if w is None or u is None:
            return w
        w = jnp.asarray(w)
        return (w + u).astype(w.dtype)

    return jax.tree.map(leaf, params, scaled(rate, updates), is_leaf=is_none)
