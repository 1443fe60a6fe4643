"""`with_metrics`: norms of gradient, update and parameters in the state, where scans and other programs find them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    COUNT,
    FLAG,
    TRANSFORMATION,
    Advanced,
    GradientTransformationExtraArgs,
    Params,
    StructureError,
    advanced,
    checked,
    leaf_names,
    moving,
    require_params,
    safe_increment,
    with_extra_args_support,
)
from nablax.runtime._metrics._norms import Moved, measured, root


class MetricsState(NamedTuple):
    """The state of `with_metrics`.

    Attributes:
      metrics: float32 scalars by name, of the last update that was measured; with `per_leaf` also `LeafNorms`.
        `metrics_of` reads them.
      inner_state: state of the inner transformation.
      count: updates so far, an int32 scalar; None where every one is measured.
    """

    metrics: Any
    inner_state: Any
    count: Any = None


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class LeafNorms:
    """Norms of each parameter, in one array: what a program takes and gives back costs time by the array.

    Attributes:
      norms: float32 (3, number of parameters): of gradients, updates and parameters.
      names: of the parameters.
    """

    norms: Any
    names: tuple[str, ...]

    def tree_flatten_with_keys(self) -> tuple[Any, tuple[str, ...]]:
        return ((jax.tree_util.GetAttrKey("norms"), self.norms),), self.names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], children: Any) -> LeafNorms:
        return cls(children[0], names)

    def told(self) -> dict[str, Any]:
        """The metrics of each parameter, by its name."""
        table: Any = _told([self.norms[..., k, :] for k in range(3)])
        if not isinstance(self.norms, jax.core.Tracer):
            table = {k: np.asarray(x) for k, x in table.items()}  # JAX takes its time for each entry
        return {name: {k: x[..., i] for k, x in table.items()} for i, name in enumerate(self.names)}


def ratio(update_norm: Any, parameter_norm: Any) -> jax.Array:
    """The norm of the update, divided by that of the parameters; 0 where both are."""
    return jnp.where(update_norm == 0, 0.0, jnp.divide(update_norm, parameter_norm))


def _told(norms: Sequence[jax.Array]) -> dict[str, Any]:
    gradient, update, parameter = (x.astype(jnp.float32) for x in norms)
    return {
        "gradient_norm": gradient,
        "update_norm": update,
        "parameter_norm": parameter,
        "update_ratio": ratio(update, parameter),
    }


def _measured(params: Any, found: list[list[jax.Array]], per_leaf: bool) -> dict[str, Any]:
    out = _told([root(parts) for parts in found])
    if per_leaf:
        squares = jnp.array([x for row in found for x in row], jnp.float32)
        out["leaves"] = LeafNorms(jnp.sqrt(squares).reshape(3, -1), tuple(leaf_names(params)))
    return out


@checked(inner=TRANSFORMATION, per_leaf=FLAG, every=COUNT)
def with_metrics(inner: Any, *, per_leaf: bool = False, every: int = 1) -> GradientTransformationExtraArgs:
    """Measures each update of a transformation, in the same program, and keeps what it found in the state.

    `metrics_of(state)` reads it: gradient_norm, update_norm, parameter_norm (after the update), and update_ratio, which
    is their quotient: about 1e-3 in a healthy run of Adam. `Optimizer.metrics` has them, too.

    Args:
      inner: the transformation.
      per_leaf: the same for each parameter, by its name.
      every: measure every so many updates only; the others go through a branch without norms, which writes down no more
        than the bare transformation, in a step of `Optimizer` or `train_step`. An integer >= 1.

    Raises:
      MissingParamsError: `update` without params.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import sgd
      >>> tx = with_metrics(sgd(0.1))
      >>> updates, state = tx.update(w := jnp.array([3.0, 4.0]), tx.init(w), w)
      >>> float(metrics_of(state)["gradient_norm"])
      5.0
    """
    tx = with_extra_args_support(inner)

    def init(params: Params) -> MetricsState:
        nothing = [[jnp.zeros(())] * (len(jax.tree.leaves(params)) if per_leaf else 1)] * 3
        start = jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: _measured(params, nothing, per_leaf)))
        return MetricsState(start, tx.init(params), None if every == 1 else jnp.zeros((), jnp.int32))

    def advance(updates: Any, state: Any, params: Params, extra: dict[str, Any], by_hand: bool) -> Advanced:
        require_params("with_metrics", params)

        def bare() -> tuple[Advanced, Any]:
            return advanced(tx, updates, state.inner_state, params, extra, by_hand), state.metrics

        def move(grads: Any, inner_state: Any, params: Any) -> Moved:
            done = advanced(tx, grads, inner_state, params, extra, by_hand)
            return Moved(done, done.reached(params))

        def with_norms() -> tuple[Advanced, Any]:
            given = updates, state.inner_state, params
            done, found = measured(move, given, move(*given), per_leaf)
            return done, _measured(params, found, per_leaf)

        if every == 1:
            (done, found), count = with_norms(), None
        else:
            count = safe_increment(state.count)
            done, found = jax.lax.cond(count % every == 0, with_norms, bare)
        return done._replace(state=MetricsState(found, done.state, count))

    return moving(init, advance, {"inner": tx}, {"inner": ("inner_state",)})


def find_metrics(state: Any) -> Any:
    """The metrics of the outermost `with_metrics` within a state; None where there is none."""
    is_metrics = lambda x: isinstance(x, MetricsState)  # noqa: E731
    found = next((x for x in jax.tree.leaves(state, is_leaf=is_metrics) if is_metrics(x)), None)
    if found is None:
        return None
    return {k: x.told() if isinstance(x, LeafNorms) else x for k, x in found.metrics.items()}


def metrics_of(state: Any) -> dict[str, Any]:
    """What `with_metrics` measured at the last update, from a state of any transformation that has it inside.

    Raises:
      StructureError: there is none.
    """
    found = find_metrics(state)
    if found is None:
        raise StructureError("metrics_of: no with_metrics in this state.")
    return found
