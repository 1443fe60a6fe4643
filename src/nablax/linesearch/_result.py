"""What `minimize` found, and why it stopped."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import jax


class Stopped(enum.Enum):
    """Why `minimize` stopped. Values are the messages."""

    CONVERGED = "The gradient norm fell to the tolerance."
    STEPS = "All steps were taken, and the gradient norm is still above the tolerance."
    NO_DECREASE = (
        "Twice in a row neither the value nor the gradient norm fell, the second time along the gradient itself: the "
        "point is as good as the dtype allows, or the gradient is wrong."
    )
    NOT_FINITE = "The value or the gradient is infinite or NaN at the point."
    UNBOUNDED = (
        "The value fell beyond all measure of the start, or a step 10,000 times the proposed one still led down as "
        "steeply and no gradient was smaller since: the function seems to have no minimum."
    )


REASONS = tuple(Stopped)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Minimum:
    """The result of `minimize`, a pytree: `minimize` may run under jit and vmap.

    Attributes:
      x: the point, structure, shapes and dtypes of x0.
      value: fun(x).
      grad: the gradient there.
      grad_norm: its largest absolute entry; under bounds, that of x - P(x - grad), P the projection onto the box.
      steps: updates taken, int32.
      evaluations: of the function, int32; nearly all of them with the gradient.
      code: index of the reason in `Stopped`, int32.
      aux: what fun returned beside the value at x, with `has_aux`; otherwise None.
    """

    x: Any
    value: jax.Array
    grad: Any
    grad_norm: jax.Array
    steps: jax.Array
    evaluations: jax.Array
    code: jax.Array
    aux: Any = None

    @property
    def converged(self) -> jax.Array:
        """Whether the gradient norm fell to the tolerance, a bool scalar."""
        return self.code == REASONS.index(Stopped.CONVERGED)

    @property
    def reason(self) -> Stopped:
        """Why it stopped; `reason.value` is the message. Needs a concrete result, not a traced one."""
        return REASONS[int(self.code)]
