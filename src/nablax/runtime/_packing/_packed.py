"""`packed`: a transformation whose state holds small leaves together."""

from __future__ import annotations

from typing import Any

from nablax.core import (
    COUNT,
    TRANSFORMATION,
    ArgumentError,
    GradientTransformationExtraArgs,
    Params,
    Refused,
    Updates,
    check_elementwise,
    checked,
    with_extra_args_support,
    wrapper,
)
from nablax.runtime._packing._flat import FlatParams, Layout

BELOW = 4096  # entries; from benchmarks/packing.py


def packed_params(params: Params, below: int = BELOW) -> FlatParams:
    """Parameters whose small leaves lie together."""
    layout = Layout.of(params, below)
    return FlatParams(layout, layout.join(params))


def check_packable(who: str, tx: Any, dtypes: Any) -> None:
    """Refuses a transformation that does not treat every entry alike.

    Raises:
      ArgumentError: with the reason.
    """
    for dtype in dtypes:
        try:
            check_elementwise(tx, dtype)
        except Refused as e:
            raise ArgumentError(
                f"{who}: {tx!r} does not treat every entry alike, so leaves cannot share an array: {e}."
            ) from None


@checked(inner=TRANSFORMATION, below=COUNT)
def packed(inner: Any, *, below: int = BELOW) -> GradientTransformationExtraArgs:
    """A transformation with the same updates whose state holds small leaves of one dtype in one array.

    Handing 1,000 small arrays to a compiled step takes longer than computing with them. With AdamW a packed state
    leaves 3,000 of 5,000.

    Args:
      inner: a transformation that treats every entry alike: sums over all leaves (clipping by global norm) may occur;
        statistics of a leaf, masks, and whatever depends on shapes or places may not. This is checked by following
        its update equation by equation.
      below: leaves with fewer entries are packed; an integer >= 1.

    Raises:
      ArgumentError: `inner` does not treat every entry alike (at `init`).

    Defaults: from 4,096 entries on, a leaf costs as much packed as it costs apart (benchmarks/packing.py --threshold).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from nablax.optimizers import adam
      >>> tx = packed(adam(1e-3))
      >>> state = tx.init([jnp.ones((2, 2)), jnp.ones(3)])
      >>> [x.shape for x in jax.tree.leaves(state)]
      [(), (7,), (7,)]
    """
    tx = with_extra_args_support(inner)

    def init(params: Params) -> Any:
        flat = packed_params(params, below)
        check_packable("packed", tx, flat.layout.dtypes)
        return tx.init(flat)

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        layout = Layout.of(updates if params is None else params, below)
        flat = None if params is None else FlatParams(layout, layout.join(params))
        given = FlatParams(layout, layout.join(updates))
        new, state = tx.update(given, state, flat, **extra)
        return new.tree, state

    return wrapper(init, update, {"inner": tx}, {"inner": ()})
