"""Checks of arguments that this wing's functions share."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import ArgumentError, HyperparameterError, StructureError


def positive_int(who: str, name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
      ArgumentError: it is no integer.
      HyperparameterError: it is less than 1.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        value = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{who}: {name} must be an integer, got {value!r}.") from None
    if value < 1:
        raise HyperparameterError(f"{who}: {name} must be at least 1, got {value}.")
    return value


def check_positive(who: str, name: str, tree: Any) -> None:
    """Refuses numbers that are known not to be positive and finite; tracers pass."""
    for value in jax.tree.leaves(tree):
        if isinstance(value, jax.core.Tracer):
            continue
        # NumPy, not jax.numpy: under jit that would be traced.
        number = np.asarray(value)
        if number.dtype.kind not in "fiuV" or number.dtype == bool:
            raise ArgumentError(f"{who}: {name} must be a real number, got {value!r}.")
        if not (np.all(number > 0) and np.all(np.isfinite(number))):
            raise HyperparameterError(f"{who}: {name} must be positive and finite, got {value}.")


def as_scores(who: str, name: str, value: Any, axes: str = "(..., n)") -> jax.Array:
    """`value` as an array of real floating numbers with axes.

    Raises:
      StructureError: it is none.
    """
    try:
        array = jnp.asarray(value)
        if not array.ndim or jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise TypeError
    except (TypeError, ValueError):
        raise StructureError(
            f"{who}: {name} must be an array of real numbers of shape {axes}, got {type(value).__name__}: {value!r}."[
                :300
            ]
        ) from None
    return array.astype(jnp.result_type(array.dtype, jnp.float32)) if array.dtype.kind in "bui" else array


def check_scalar(who: str, out: Any) -> None:
    """Refuses an abstract output that is not one real number."""
    if (
        not isinstance(out, jax.ShapeDtypeStruct)
        or out.shape != ()
        or np.issubdtype(out.dtype, np.complexfloating)
    ):
        raise StructureError(f"{who}: fun must return a real scalar loss, got {out}.")


def check_real(who: str, params: Any) -> None:
    """Refuses parameters that are not real floating arrays."""
    for leaf in jax.tree.leaves(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise StructureError(
                f"{who}: the parameters must be real floating arrays, got {jnp.result_type(leaf)}."
            )
