"""`shard_state`: a transformation whose state is spread over the devices of a mesh."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import AxisType

from nablax.core import (
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    around,
    checked,
    with_extra_args_support,
)
from nablax.runtime._sharding._layout import Layout, specs_of


@checked(inner=TRANSFORMATION)
def shard_state(
    inner: Any, mesh: Any, *, axis: str | tuple[str, ...] = "data", param_specs: Any = None
) -> GradientTransformationExtraArgs:
    """Spreads the state of a transformation over the devices of a mesh (ZeRO, stage 1).

    Fields that have the shape of a parameter lie as the parameter does, and over `axis` besides: along their largest
    dimension that is free and divisible, or nowhere where there is none. Other statistics are spread likewise; counts,
    scalars and keys are on every device. Within `update` gradients and parameters follow the state; the updates come
    out as the parameters lie. A plain `jax.jit(step)` needs nothing else.

    Args:
      inner: a transformation; where it is another library's, the arrays with a parameter's shape are spread.
      mesh: the devices; axes automatic or explicit.
      axis: the axis to spread over, or several; usually the one that the batch is split over.
      param_specs: how the parameters lie: tree of `PartitionSpec` with their structure, or a prefix of it, or a
        function of the parameters. None: every device has them all, or, where the mesh has explicit axes, what their
        types say.

    Returns:
      A transformation with the state of `inner`.

    Raises:
      ArgumentError: the mesh has no such axis; or parameters that are split, without param_specs.

    Source: Rajbhandari et al. 2020, arXiv:1910.02054.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import adam
      >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
      >>> tx = shard_state(adam(1e-3), mesh)
      >>> state = tx.init({"w": jnp.zeros((8 * jax.device_count(), 3))})
      >>> state[0].mu["w"].sharding.mesh == mesh
      True
    """
    tx = with_extra_args_support(inner)
    layout = Layout(tx, mesh, axis, param_specs, "shard_state")
    known = param_specs is not None or AxisType.Explicit in mesh.axis_types

    def check(tree: Any) -> None:
        if known:
            return
        for path, spec in jax.tree_util.tree_leaves_with_path(specs_of(tree, mesh)):
            if any(spec):
                raise ArgumentError(
                    f"shard_state: the parameter {jax.tree_util.keystr(path)} lies as {spec}, which jit does not tell; "
                    "say so: shard_state(inner, mesh, param_specs=...)."
                )

    def init(params: Any) -> Any:
        check(params)
        return layout.init(params)

    def update(run: Any, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        check(params)
        like = updates if params is None else params
        entered = layout.enter(updates, state, params, extra)
        with layout.dealing():
            new, state = run(*entered)
        return layout.leave(new, state, like)

    return around(tx, init, update)


def state_shardings(
    tx: Any, params: Any, mesh: Any, *, axis: str | tuple[str, ...] = "data", param_specs: Any = None
) -> Any:
    """Where `shard_state` puts each array of a state, for those who place it by hand.

    Args:
      tx: a transformation.
      mesh, axis: as in `shard_state`.
      params: tree of arrays or of `jax.ShapeDtypeStruct`.
      param_specs: as in `shard_state`; None takes the shardings that the parameters have.

    Returns:
      Tree of `NamedSharding` with the structure of the state.

    Example:
      >>> from nablax.optimizers import sgd
      >>> mesh = jax.sharding.AbstractMesh((4,), ("data",))
      >>> params = jax.ShapeDtypeStruct((3, 8), float)
      >>> state_shardings(sgd(0.1, momentum=0.9), params, mesh)[0].trace.spec
      P(None, 'data')
    """
    tx = with_extra_args_support(tx)
    return Layout(tx, mesh, axis, param_specs, "state_shardings").plan(params).state
