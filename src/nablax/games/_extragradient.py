"""The extra-gradient method as a gradient transformation, in two phases of one step.

    x_half = x - lr g(x)             phase one: extrapolate, and remember x
    x'     = x - lr g(x_half)        phase two, fed the gradient at x_half

With another optimizer as the base, both steps are the base's: its moments take in both gradients, and its second
update starts from x (for Adam, Algorithm 4 of Gidel et al.).

Sources: Korpelevich 1976; Gidel et al. 2019, arXiv:1802.10551.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    FLAG,
    RATE,
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    HyperparameterError,
    ScalarOrSchedule,
    chain,
    check_number,
    checked,
    fields,
    flag,
    hyperparams,
    is_number,
    leafwise,
    point,
    with_children,
    with_extra_args_support,
    with_hyperparams,
)
from nablax.transforms import scale, scale_by_learning_rate


class ExtragradientState(NamedTuple):
    """extrapolated: bool scalar, the parameters are at x_half. remembered: x, structure and dtypes of params."""

    extrapolated: jax.Array
    remembered: Any


def _step(
    g: jax.Array, params: jax.Array, remembered: jax.Array, *, back: Any
) -> tuple[jax.Array, jax.Array]:
    start = jnp.where(back, remembered, params)
    return g + (start - params), start


def _phase(extrapolated: Any) -> dict[str, Any]:
    return {"back": extrapolated, "extrapolated": ~extrapolated}


_STATE = fields(ExtragradientState, extrapolated=flag(False), remembered=point())


@checked(learning_rate=RATE, base=TRANSFORMATION, ascend=FLAG)
def extragradient(
    learning_rate: ScalarOrSchedule | None = None, *, base: Any = None, ascend: bool = False
) -> GradientTransformationExtraArgs:
    """Extra-gradient: look ahead, and step from where you were with the gradient you found there.

    Two updates make one full step: the first moves the parameters to x_half, the second, fed the gradient at x_half,
    to the next x. Each state knows its own phase, so players with own extragradients step together under
    `partition`.

    Args:
      learning_rate: number, traced number or schedule of the count of full steps. Negative ascends.
      base: any gradient transformation that makes the two steps, instead of a learning rate: `base=adam(1e-3)` is
        Extra-Adam. Its schedules count full steps as well, those of `inject_hyperparams` too (those inside a
        transformation of another library, and of `inject_hyperparams` around this one, count updates, two a step).
        With both arguments, the learning rate scales what the base makes.
      ascend: climb instead of descend.

    Returns:
      A transformation whose `update` needs params.

    Raises:
      ArgumentError: neither learning_rate nor base, or no number.
      HyperparameterError: 0, infinity, NaN, or a negative learning rate with ascend=True.
      MissingParamsError: `update` without params.
      StructureError: the gradients of the two phases have different structures.

    Source: Korpelevich 1976; Gidel et al. 2019, arXiv:1802.10551, Algorithm 4.

    Example: on min_x max_y x y, where simultaneous descent and ascent spiral out.
      >>> import jax
      >>> import jax.numpy as jnp
      >>> tx, z = extragradient(0.5), jnp.array([1.0, 1.0])
      >>> state = tx.init(z)
      >>> for _ in range(2):
      ...     updates, state = tx.update(jnp.array([z[1], -z[0]]), state, z)
      ...     z = z + updates
      >>> z, bool(is_extrapolation(state))
      (Array([0.25, 1.25], dtype=float32), False)
    """
    two_steps = stepper("extragradient", learning_rate, base, ascend)
    part = leafwise(_step, _STATE, name="extragradient", scalars=_phase)
    return chain(in_full_steps(two_steps, half), part)


def is_extrapolation(state: Any) -> jax.Array:
    """Whether the parameters that belong to a state are an extrapolated point, between the two phases.

    Args:
      state: state of `extragradient` or `anchored`, or any state that holds one, as that of `partition`.

    Returns:
      Bool scalar: False after init and after every full step, True after phase one.

    Raises:
      ArgumentError: the state holds no extrapolation.
    """
    found: list[Any] = []

    def look(x: Any) -> bool:
        is_state = hasattr(x, "extrapolated")
        if is_state:
            found.append(x.extrapolated)
        return is_state

    jax.tree.leaves(state, is_leaf=look)
    if not found:
        raise ArgumentError(
            f"is_extrapolation: no state of extragradient or anchored in {type(state).__name__}."
        )
    return jnp.any(jnp.stack([jnp.asarray(x) for x in found]))


def stepper(who: str, learning_rate: Any, base: Any, ascend: bool) -> GradientTransformationExtraArgs:
    """The transformation that makes the steps of a method: by a learning rate, by a base, or by both."""
    if learning_rate is None and base is None:
        raise ArgumentError(f"{who}: give a learning_rate or a base, such as base=adam(1e-3).")
    links: list[Any] = []
    if learning_rate is not None:
        check_number(who, "learning_rate", learning_rate, schedule=True)
        known = is_number(learning_rate)
        if known and (learning_rate == 0 or not math.isfinite(learning_rate)):
            raise HyperparameterError(
                f"{who}: learning_rate must be finite and not 0, got {learning_rate!r}."
            )
        if ascend and known and learning_rate < 0:
            raise HyperparameterError(
                f"{who}: a negative learning_rate ascends, and so does ascend=True: give one of them, got "
                f"{learning_rate!r}."
            )
        links = [scale_by_learning_rate(learning_rate)]
    if base is not None:
        # A base comes with its own minus sign; a learning rate on top only scales.
        links = [
            with_extra_args_support(base),
            *([scale_by_learning_rate(learning_rate), scale(-1.0)] if links else []),
        ]
    if ascend:
        links = [scale(-1.0), *links]
    return links[0] if len(links) == 1 else chain(*links)


def half(count: Any) -> Any:
    """Full steps of a method that takes two updates for each."""
    return count // 2


class FullSteps:
    """A schedule evaluated at `full(count)`, where a transformation is updated several times a step."""

    def __init__(self, schedule: Callable[[Any], Any], full: Callable[[Any], Any]):
        self.schedule, self.full = schedule, full

    def __call__(self, count: Any) -> Any:
        return self.schedule(self.full(count))


def in_full_steps(tx: Any, full: Callable[[Any], Any]) -> Any:
    """The transformation with its schedules evaluated at `full(count)`, those of `inject_hyperparams` too."""
    found = {path: FullSteps(value, full) for path, value in hyperparams(tx).items() if callable(value)}
    return with_children(
        with_hyperparams(tx, found),
        lambda inner: inner.with_count(full) if hasattr(inner, "with_count") else None,
    )
