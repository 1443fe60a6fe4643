"""Complex parameters as pairs of real ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax.core import (
    TRANSFORMATION,
    GradientTransformationExtraArgs,
    Params,
    Updates,
    checked,
    with_extra_args_support,
    wrapper,
)


class SplitRealAndImaginaryArrays(NamedTuple):
    """real, imaginary: the parts of a complex array."""

    real: Any
    imaginary: Any


class SplitRealAndImaginaryState(NamedTuple):
    """inner_state: of the inner transformation, on trees in which complex leaves are pairs."""

    inner_state: Any


def _split(x: Any) -> Any:
    return SplitRealAndImaginaryArrays(jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else x


def _join(g: Any, u: Any) -> Any:
    return lax.complex(u.real, u.imaginary) if jnp.iscomplexobj(g) else u


@checked(inner=TRANSFORMATION)
def split_real_and_imaginary(inner: Any) -> GradientTransformationExtraArgs:
    """Lets a transformation treat the real and imaginary parts of complex leaves as separate parameters.

    Args:
      inner: the transformation; it sees only real leaves.

    Returns:
      A transformation with a `SplitRealAndImaginaryState`.

    Example:
      >>> from nablax.transforms import scale_by_sign
      >>> tx = split_real_and_imaginary(scale_by_sign())
      >>> g = jnp.array([3.0 - 4.0j])
      >>> tx.update(g, tx.init(g))[0]
      Array([1.-1.j], dtype=complex64)
    """
    tx = with_extra_args_support(inner)

    def init(params: Params) -> SplitRealAndImaginaryState:
        return SplitRealAndImaginaryState(tx.init(jax.tree.map(_split, params)))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        # params may hold leaves where the updates are None, so each tree is split on its own.
        pairs = jax.tree.map(_split, updates)
        new, inner_state = tx.update(pairs, state.inner_state, jax.tree.map(_split, params), **extra)
        return jax.tree.map(_join, updates, new), SplitRealAndImaginaryState(inner_state)

    return wrapper(init, update, {"inner": tx}, {"inner": ("inner_state",)})
