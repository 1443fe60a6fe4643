"""`masked`: a transformation on some leaves only."""

from __future__ import annotations

from typing import Any

import jax

from nablax.core import (
    FLAG,
    MASK,
    TRANSFORMATION,
    Call,
    GradientTransformationExtraArgs,
    Mask,
    MaskedState,
    MaskOrFn,
    Params,
    Rule,
    Transformation,
    Updates,
    body_of,
    checked,
    with_extra_args_support,
    wrapper,
)


@checked(inner=TRANSFORMATION, mask=MASK, mask_compatible_extra_args=FLAG)
def masked(
    inner: Any, mask: MaskOrFn, *, mask_compatible_extra_args: bool = False
) -> GradientTransformationExtraArgs:
    """Applies a transformation to the leaves that a mask selects; the others pass as they are.

    Args:
      inner: the transformation; it sees trees in which left-out leaves are `MaskedNode()`.
      mask: tree of bools with the structure of params, or a prefix of it, or a function of the parameters that returns
        one. A function is asked once, at init.
      mask_compatible_extra_args: also mask the extra arguments that have the structure of the updates.

    Returns:
      A transformation with a `MaskedState`.

    Raises:
      StructureError: the mask does not fit the parameters.

    Example: centralize all gradients but those of the embedding.
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import centralize
      >>> tx = masked(centralize(), {"embedding": False, "dense": True})
      >>> g = {"embedding": jnp.array([[1.0, 3.0]]), "dense": jnp.array([[1.0, 3.0]])}
      >>> updates, _ = tx.update(g, tx.init(g))
      >>> updates
      {'dense': Array([[-1.,  1.]], dtype=float32), 'embedding': Array([[1., 3.]], dtype=float32)}
    """
    body = body_of(inner)
    if isinstance(body, Rule) and body.mask is None and not mask_compatible_extra_args:
        return Transformation.of(
            Call(masked, {}, body.masked(Mask(mask, f"masked({body.name})"), keeps_name=True))
        )
    tx = with_extra_args_support(inner)
    where = Mask(mask, "masked")

    def init(params: Params) -> MaskedState:
        return MaskedState(tx.init(where.hide(params, where.tree(params))))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        flags = where.tree(updates, params)
        structure: Any = jax.tree.structure(updates)
        if mask_compatible_extra_args:
            extra = {
                k: where.hide(v, flags) if jax.tree.structure(v) == structure else v for k, v in extra.items()
            }
        hidden_params = None if params is None else where.hide(params, flags)
        new, inner_state = tx.update(where.hide(updates, flags), state.inner_state, hidden_params, **extra)
        return where.merge(new, updates, flags), MaskedState(inner_state)

    def seen(params: Params, tree: Any) -> dict[str, Any]:
        return {"inner": where.hide(tree, where.tree(params))}

    return wrapper(init, update, {"inner": tx}, {"inner": ("inner_state",)}, seen=seen)
