"""The one builder of steps: gradients in, parameters, state and a report out. `Optimizer`, `train_step` and the
workbench compile it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import Advanced, advance, advanced, current_values, hyperparams
from nablax.runtime._metrics import Moved, measured, norms_of, root
from nablax.runtime._sharding import Layout
from nablax.tree import all_finite

NORMS = ("gradient_norm", "update_norm", "parameter_norm")


class Stepped(NamedTuple):
    """params, state: after the step. finite: whether the gradients were, None where nobody looked. updates.

    move, given: what `measured` asks for; None on a mesh.
    """

    params: Any
    state: Any
    finite: Any
    updates: Any
    move: Any = None
    given: Any = None


def step(
    tx: Any,
    grads: Any,
    state: Any,
    params: Any,
    extra: dict[str, Any],
    *,
    skip_nonfinite: bool = False,
    layout: Layout | None = None,
) -> Stepped:
    """One step of a transformation, applied.

    Args:
      tx: a transformation.
      grads, state, params: what its `update` takes.
      extra: its extra arguments.
      skip_nonfinite: leave parameters and state as they are where a gradient is infinite or NaN.
      layout: of the arrays on a mesh.
    """
    if layout is not None:
        entered = layout.enter(grads, state, params, extra)
        with layout.dealing():
            inside = step(tx, *entered, skip_nonfinite=skip_nonfinite)
        new_params, new_state = layout.leave(inside.params, inside.state, params)
        return Stepped(new_params, new_state, inside.finite, inside.updates)

    def move(grads: Any, state: Any, params: Any) -> Moved:
        done = advanced(tx, grads, state, params, extra)
        return Moved(done, done.params)

    new_params, new_state, updates = advance(tx, grads, state, params, extra)
    if not skip_nonfinite:
        return Stepped(new_params, new_state, None, updates, move, (grads, state, params))
    finite = all_finite(grads)

    def keep(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

    return Stepped(keep(new_params, params), keep(new_state, state), finite, updates)


def norms(grads: Any, stepped: Stepped) -> tuple[dict[str, jax.Array], Stepped]:
    """Euclidean norms over all leaves, float32 or wider; and the step, which may be made where they are summed."""
    if stepped.move is None or grads is not stepped.given[0]:
        found = norms_of((grads, stepped.updates, stepped.params))
    else:
        made = Advanced(stepped.params, stepped.state, stepped.updates, None)
        done, squares = measured(stepped.move, stepped.given, Moved(made, stepped.params))
        found = list(map(root, squares))
        stepped = stepped._replace(params=done.params, state=done.state)
    return dict(zip(NORMS, found, strict=True)), stepped


def rate_paths(tx: Any) -> list[str]:
    """The paths of the learning rates."""
    return [path for path in hyperparams(tx) if path.rpartition("/")[2] == "learning_rate"]


def learning_rates(tx: Any, state: Any) -> dict[str, Any]:
    """The learning rates of the next update, by path."""
    values = current_values(tx, state)
    return {path: values[path] for path in rate_paths(tx) if path in values}


def injected_rates(state: Any) -> dict[str, Any]:
    """The rates of the last update that `inject_hyperparams`, ours or Optax's, holds in its states, by path."""

    def holds_rate(x: Any) -> bool:
        named = getattr(x, "hyperparams", None)
        return isinstance(named, Mapping) and "learning_rate" in named

    found = jax.tree_util.tree_leaves_with_path(state, is_leaf=holds_rate)
    rates = [(path, x.hyperparams["learning_rate"]) for path, x in found if holds_rate(x)]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in rates]
    return {
        f"{name}/learning_rate": x for name, (_, x) in zip(names, rates, strict=True) if jnp.shape(x) == ()
    }


def by_group(rates: dict[str, Any]) -> Any:
    """One learning rate as it is, several as a dict by what stands before the name."""
    if len(rates) == 1:
        return next(iter(rates.values()))
    return {path.rpartition("/")[0]: rate for path, rate in rates.items()}
