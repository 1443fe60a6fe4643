"""What a step tells about itself: norms, learning rates, skipped steps; computed in the step's own program."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import current_values

NORMS = ("gradient_norm", "update_norm", "parameter_norm")


def learning_rates(tx: Any, state: Any) -> dict[str, jax.Array]:
    """The learning rates of the next update: `learning_rate` alone where there is one, else one a path."""
    found = {k: v for k, v in current_values(tx, state).items() if k.endswith("/learning_rate")}
    wide = {k: jnp.asarray(v, jnp.result_type(float)) for k, v in found.items()}
    return {"learning_rate": next(iter(wide.values()))} if len(wide) == 1 else wide


def norms(gradients: Any, updates: Any, params: Any) -> dict[str, jax.Array]:
    """Euclidean norms over all leaves, float32 or wider."""
    return dict(zip(NORMS, map(tree.norm, (gradients, updates, params)), strict=True))


def all_finite(updates: Any) -> jax.Array:
    """Whether no entry of any leaf is infinite or NaN: a boolean scalar."""
    leaves = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(updates)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.asarray(True)


def keep_if(keep: jax.Array, new: Any, old: Any) -> Any:
    """The new tree where `keep`, else the old one, leaf by leaf."""
    return jax.tree.map(lambda n, o: jnp.where(keep, n, o), new, old)
