"""Lower and upper bounds of a tree, as trees like it, and the projection onto the box between them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import checkify

from nablax.core import ArgumentError, HyperparameterError, StructureError
from nablax.tree import is_none

_FORM = (
    "each is None, a number or a tree like x0. SciPy's list of pairs (low, high) is the pair (lows, highs) of arrays "
    "here, its Bounds object b is (b.lb, b.ub)."
)


def project(x: Any, lower: Any, upper: Any) -> Any:
    """The point of the box nearest to x, in the dtypes of x."""
    return jax.tree.map(lambda w, a, b: jnp.clip(w, a, b).astype(jnp.result_type(w)), x, lower, upper)


def bounds_like(bounds: Any, x0: Any) -> tuple[Any, Any]:
    """Lower and upper bounds as trees like x0.

    Raises:
      ArgumentError: bounds is no pair.
      StructureError: they do not fit x0, or x0 is complex.
      HyperparameterError: a lower bound above its upper one, NaN as a bound.
    """
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ArgumentError(f"minimize: bounds must be a pair (lower, upper), got {_short(bounds)}; {_FORM}")
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(x0)):
        raise StructureError("minimize: bounds need real parameters, got complex ones.")
    lower = _spread("lower", bounds[0], x0, -jnp.inf)
    upper = _spread("upper", bounds[1], x0, jnp.inf)
    for a, b in zip(jax.tree.leaves(lower), jax.tree.leaves(upper), strict=True):
        if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
            checkify.debug_check(jnp.all(a <= b), "minimize: bounds must satisfy lower <= upper.")
        elif not bool(jnp.all(a <= b)):  # false for NaN too
            where = jnp.argmin(a <= b)
            raise HyperparameterError(
                f"minimize: bounds must satisfy lower <= upper, got {float(a.ravel()[where]):g} and "
                f"{float(b.ravel()[where]):g}."
            )
    return lower, upper


def _spread(name: str, bound: Any, x0: Any, infinite: float) -> Any:
    """The bound for each entry of x0; None is an infinite one."""

    def leaf(b: Any, x: Any) -> Any:
        if x is None:
            return None
        return jnp.broadcast_to(jnp.asarray(infinite if b is None else b, x.dtype), x.shape)

    given = infinite if bound is None else bound
    try:
        full = jax.tree.broadcast(given, x0, is_leaf=is_none)
        return jax.tree.map(leaf, full, x0, is_leaf=is_none)
    except (ValueError, TypeError) as e:
        raise StructureError(f"minimize: the {name} bounds {_short(bound)} do not fit x0; {_FORM}") from e


def _short(x: Any) -> str:
    text = " ".join(repr(x).split())
    return text if len(text) <= 100 else f"{text[:100]}..."
