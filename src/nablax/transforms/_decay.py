"""Weight decay: a multiple of the parameters added to the updates."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from nablax.core import (
    MASK,
    RATE,
    EmptyState,
    GradientTransformation,
    MaskOrFn,
    ScalarOrSchedule,
    checked,
    counting,
    leafwise,
)

AddDecayedWeightsState = EmptyState


class WeightDecaySchedule(NamedTuple):
    """count: updates so far, an int32 scalar."""

    count: Any


def _add_decayed(g: jax.Array, params: jax.Array, *, weight_decay: Any) -> jax.Array:
    if isinstance(weight_decay, int | float) and weight_decay == 0:
        return g  # XLA keeps 0 * p, and would read every parameter for it
    return g + weight_decay * params


@checked(weight_decay=RATE, mask=MASK)
def add_decayed_weights(
    weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn | None = None
) -> GradientTransformation:
    """Adds a multiple of the parameters: u = g + weight_decay * p.

    Before an adaptive part it is L2 regularisation, after it decoupled weight decay.

    Args:
      weight_decay: a number, a traced number, or a function of the number of updates so far.
      mask: leaves that decay: a tree of bools, a prefix of one, or a function of the parameters that returns one.

    Raises:
      HyperparameterError: not finite.
      MissingParamsError: `update` without params.

    Defaults: as in Optax.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = add_decayed_weights(0.1, mask={"w": True, "b": False})
      >>> params = {"w": jnp.ones(1), "b": jnp.ones(1)}
      >>> updates, _ = tx.update({"w": jnp.zeros(1), "b": jnp.zeros(1)}, tx.init(params), params)
      >>> updates
      {'b': Array([0.], dtype=float32), 'w': Array([0.1], dtype=float32)}
    """

    state = counting(weight_decay, WeightDecaySchedule)
    return leafwise(_add_decayed, state, hyperparams={"weight_decay": weight_decay}, mask=mask)
