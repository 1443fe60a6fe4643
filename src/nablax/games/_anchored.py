"""Anchored extra-gradient: every step is also drawn back to the first point, ever less.

EAG, k = 0, 1, ...:

    z_half  = z_k + (z_0 - z_k)/(k+2) - a_k F(z_k)
    z_{k+1} = z_k + (z_0 - z_k)/(k+2) - a_k F(z_half)

with a_k constant (EAG-C), or (EAG-V) from c_0 = 0.618, a_k = c_k/L, by

    c_{k+1} = c_k/(1 - c_k^2) (1 - (k+2)^2 c_k^2 / ((k+1)(k+3))).

FEG, b_k = 1/(k+1):

    z_half  = z_k + b_k (z_0 - z_k) - (1 - b_k) F(z_k)/L
    z_{k+1} = z_k + b_k (z_0 - z_k) - F(z_half)/L.

For monotone fields |F(z_k)|^2 = O(1/k^2), where extra-gradient has O(1/k).

Sources: Yoon & Ryu 2021, arXiv:2102.07922; Lee & Kim 2021, arXiv:2106.02326.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    FLAG,
    RATE,
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
    checked,
    count,
    fields,
    flag,
    leafwise,
    point,
    scalar,
)
from nablax.games._extragradient import half, in_full_steps, stepper

FIRST_STEP = 0.618  # c_0 of EAG-V: the largest first step, in units of 1/L, that its theorem allows


class AnchoredState(NamedTuple):
    """The state of `anchored`.

    Attributes:
      step: k, full steps done, int32 scalar.
      extrapolated: bool scalar, the parameters are at z_half.
      relative: a_k / a_0, floating scalar; 1 but for EAG-V.
      origin: z_0, a copy of params at init.
      remembered: z_k; structure, shapes and dtypes of params.
    """

    step: jax.Array
    extrapolated: jax.Array
    relative: jax.Array
    origin: Any
    remembered: Any


def pull(variant: str, k: Any) -> tuple[Any, Any]:
    """The weight of the anchor at step k, and the factor on the step that extrapolates."""
    if variant == "feg":
        weight = 1.0 / (k + 1.0)
        return weight, 1.0 - weight
    return 1.0 / (k + 2.0), jnp.ones(())


def next_relative(k: Any, relative: Any) -> Any:
    """a_{k+1}/a_0 of EAG-V, from a_k/a_0."""
    c2 = jnp.square(FIRST_STEP * relative)
    return relative / (1 - c2) * (1 - (k + 2.0) ** 2 * c2 / ((k + 1.0) * (k + 3.0)))


def _anchor(
    g: jax.Array, params: jax.Array, origin: jax.Array, remembered: jax.Array, *, back: Any, weight: Any, factor: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    start = jnp.where(back, remembered, params)
    return (start - params) + weight * (origin - start) + factor * g, origin, start


def _coefficients(step: Any, extrapolated: Any, relative: Any, variant: str) -> dict[str, Any]:
    weight, ahead = pull(variant, step)
    later = next_relative(step, relative) if variant == "eag-v" else relative
    return {
        "back": extrapolated,
        "weight": weight,
        "factor": relative * jnp.where(extrapolated, 1.0, ahead),
        "step": step + extrapolated,
        "extrapolated": ~extrapolated,
        "relative": jnp.where(extrapolated, later, relative),
    }


_STATE = fields(
    AnchoredState,
    step=count(),
    extrapolated=flag(False),
    relative=scalar(1.0, jnp.float32),
    origin=point(copy=True),
    remembered=point(),
)


@checked(learning_rate=RATE, base=TRANSFORMATION, ascend=FLAG)
def anchored(
    learning_rate: ScalarOrSchedule | None = None,
    variant: Literal["eag-c", "eag-v", "feg"] = "eag-c",
    *,
    base: Any = None,
    ascend: bool = False,
) -> GradientTransformationExtraArgs:
    """Anchored extra-gradient in two phases; the formulas are at the head of this file.

    Args:
      learning_rate: number, traced number or schedule of the count of full steps; negative ascends. For an
        L-Lipschitz field the theorems take 1/(8L) for "eag-c", 0.618/L (the first step; later ones follow) for
        "eag-v", 1/L for "feg".
      variant: "eag-c", "eag-v" or "feg".
      base: any gradient transformation that makes the steps instead of a learning rate, as in `extragradient`.
      ascend: climb instead of descend.

    Returns:
      A transformation whose `update` needs params; `is_extrapolation` tells its phase.

    Raises:
      ArgumentError: neither learning_rate nor base, or no such variant.
      HyperparameterError: 0, infinity, NaN, or a negative learning rate with ascend=True.
      MissingParamsError: `update` without params.
      StructureError: the gradients of the two phases have different structures.

    Defaults: "eag-c", the variant with a constant step size, is the first of Yoon & Ryu 2021.

    Source: Yoon & Ryu 2021, arXiv:2102.07922; Lee & Kim 2021, arXiv:2106.02326.

    Example: two full steps of FEG on min_x max_y x y; |F(z_2)|^2 meets its bound 4 L^2 D^2 / k^2 = 1.
      >>> import jax.numpy as jnp
      >>> tx, z = anchored(1.0, "feg"), jnp.array([1.0, 0.0])
      >>> state = tx.init(z)
      >>> for _ in range(4):
      ...     updates, state = tx.update(jnp.array([z[1], -z[0]]), state, z)
      ...     z = z + updates
      >>> z
      Array([0., 1.], dtype=float32)
    """
    if variant not in ("eag-c", "eag-v", "feg"):
        raise ArgumentError(f"anchored: variant must be 'eag-c', 'eag-v' or 'feg', got {variant!r}.")
    moves = stepper("anchored", learning_rate, base, ascend)
    part = leafwise(_anchor, _STATE, name="anchored", options={"variant": variant}, scalars=_coefficients)
    return chain(in_full_steps(moves, half), part)
