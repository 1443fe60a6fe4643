"""What a solver found, and why it stopped."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import jax


class Stopped(enum.Enum):
    """Why `solve` stopped. Values are the messages."""

    CONVERGED = "The residual fell to the tolerance."
    STEPS = "All steps were taken, and the residual is still above the tolerance."
    NOT_FINITE = "The field, or its norm, was NaN or infinite; `point` is the best point before that."
    DIVERGED = "The residual grew past the bound; `point` is the best point before that."
    CALLBACK = "The callback asked to stop."


REASONS = tuple(Stopped)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Solution:
    """The result of `solve`, a pytree: `solve` may run under jit and vmap.

    Attributes:
      point: the answer: `last`, or `best` where the field failed or diverged.
      last: the last iterate.
      average: the mean, in at least float32, of the points at which the steps' gradients were taken (z_half for
        extra-gradient methods); the first point where there was no step.
      best: of the points where the residual is known, that with the least.
      residual: at `last`.
      residuals: shape (steps + 1,): entry k belongs to step k, the one after the last step to `last`; NaN from there.
      steps: steps taken, int32 scalar.
      evaluations: of the field, int32 scalar.
      code: index of the reason in `Stopped`, int32 scalar.
    """

    point: Any
    last: Any
    average: Any
    best: Any
    residual: jax.Array
    residuals: jax.Array
    steps: jax.Array
    evaluations: jax.Array
    code: jax.Array

    @property
    def converged(self) -> jax.Array:
        """Whether the residual fell to the tolerance, a bool scalar."""
        return self.code == REASONS.index(Stopped.CONVERGED)

    @property
    def reason(self) -> Stopped:
        """Why it stopped; `reason.value` is the message. Needs a concrete result, not a traced one."""
        return REASONS[int(self.code)]
