"""`offload_state`: a state that lies in the host's memory between steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import (
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    Params,
    around,
    checked,
    is_traced,
    with_extra_args_support,
)

_KIND = "pinned_host"
_Space = jax.memory.Space


def check_host_memory(who: str, platform: str, kinds: Iterable[str]) -> None:
    """Refuses a backend that cannot reach the host's memory.

    Args:
      who: speaks in the error.
      platform: the backend's name.
      kinds: of memory that its devices address.

    Raises:
      ArgumentError: "pinned_host" is not among them.
    """
    kinds = sorted(kinds)
    if _KIND not in kinds:
        raise ArgumentError(
            f"{who}: the state needs memory of the kind {_KIND!r}, which the backend {platform!r} has not; it has "
            f"{', '.join(map(repr, kinds)) or 'no kinds of memory'}."
        )


def _devices(tree: Any) -> Iterable[Any]:
    """The devices of the arrays, those that steps run on where nothing is known of them."""
    found = [x.devices() for x in jax.tree.leaves(tree) if isinstance(x, jax.Array) and not is_traced(x)]
    return frozenset().union(*found) or jax.devices()[:1]


def _moved(state: Any, space: Any) -> Any:
    """The state with its arrays in a space of memory; scalars and random keys, which steer, stay on the device."""

    def leaf(x: Any) -> Any:
        steers = jnp.ndim(x) == 0 or jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return x if steers else jax.device_put(x, space)

    return jax.tree.map(leaf, state)


@checked(inner=TRANSFORMATION)
def offload_state(inner: Any) -> GradientTransformationExtraArgs:
    """Keeps the state of a transformation in the host's memory between steps, and fetches it for each update.

    For states that do not fit beside the parameters, at the price of moving them twice a step. Scalars and random keys
    stay on the device. Around `shard_state` each device keeps its part in its host's memory.

    Args:
      inner: a transformation.

    Returns:
      A transformation with the state of `inner`, its arrays in memory of the kind "pinned_host".

    Raises:
      ArgumentError: the backend has no such memory (at `init` and `update`).

    Source: Rajbhandari et al. 2021, arXiv:2104.07857; Ren et al. 2021, arXiv:2101.06840.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import adam
      >>> state = offload_state(adam(1e-3)).init({"w": jnp.zeros(3)})
      >>> state[0].mu["w"].sharding.memory_kind
      'pinned_host'
    """
    tx = with_extra_args_support(inner)

    def check(tree: Any) -> None:
        for device in _devices(tree):
            check_host_memory(
                "offload_state", device.platform, {m.kind for m in device.addressable_memories()}
            )

    def init(params: Params) -> Any:
        check(params)
        return _moved(tx.init(params), _Space.Host)

    def update(step: Any, updates: Any, state: Any, params: Params, extra: dict[str, Any]) -> tuple[Any, Any]:
        check(updates)
        updates, state = step(updates, _moved(state, _Space.Device), params, extra)
        return updates, _moved(state, _Space.Host)

    return around(tx, init, update)
