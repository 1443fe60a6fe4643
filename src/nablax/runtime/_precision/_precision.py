"""`precision`: any transformation on parameters of fewer than 32 bits, without losing what they cannot hold."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    DTYPE,
    TRANSFORMATION,
    Advanced,
    ArgumentError,
    Field,
    GradientTransformationExtraArgs,
    Params,
    advanced,
    checked,
    count,
    fields,
    inner_state,
    map_fields,
    moving,
    number,
    of_kind,
    require_params,
    safe_increment,
    with_extra_args_support,
)
from nablax.runtime._precision._ways import PROGRAMS, WAYS, Way
from nablax.runtime._quantized import is_quantized
from nablax.tree import is_none

ROUNDINGS = ("stochastic", "kahan", "remainder")


class PrecisionState(NamedTuple):
    """The state of `precision`.

    Attributes:
      count: updates so far, an int32 scalar.
      beside: for each narrow parameter what it cannot hold, as the rounding says; None elsewhere.
      inner_state: state of the inner transformation, which sees float32 parameters.
    """

    count: Any
    beside: Any
    inner_state: Any


def _is_narrow(p: Any) -> bool:
    dtype = jnp.result_type(p)
    return jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32


@checked(
    inner=TRANSFORMATION,
    rounding=of_kind(f"None or one of {', '.join(ROUNDINGS)}", lambda x: x is None or x in ROUNDINGS),
    state_dtype=DTYPE,
    seed=number(0, 2**32 - 1, integer=True),
)
def precision(
    inner: Any, rounding: str | None = None, *, state_dtype: Any = None, seed: int = 0
) -> GradientTransformationExtraArgs:
    """Lets a transformation train parameters of 16 or 8 bits as if they had 32.

    At a learning rate of 1e-5 a bfloat16 weight near one never moves: its neighbours are 0.4% away, and each update is
    rounded off. Here the inner transformation sees float32 weights, and what a parameter cannot hold is kept beside it.

        rounding       beside a bfloat16 parameter   the float32 weight is
        None           4 bytes                       kept there (master weights); parameters are its nearest values
        "remainder"    2 bytes, for bfloat16 only    parameter and remainder, bit for bit: the run in float32
        "kahan"        2 bytes                       parameter + compensation
        "stochastic"   nothing                       the parameter, rounded up or down so that the mean is right

    Parameters of 32 bits and more, integers and None pass through. In `Optimizer` and `train_step` parameters are set
    as they were rounded. In a loop of your own, `apply_updates(params, updates)` comes to the same (updates are
    float32): its sum rounds to the new parameter, for weights that do not shrink 2^14 times in one step.

    Args:
      inner: the transformation. Its state has the dtypes that it has with float32 parameters.
      rounding: what is kept, as above.
      state_dtype: dtype in which first moments, accumulators and snapshots are stored between updates, and second
        moments, too, where it has at least 32 bits (in 16 bits they stall); None leaves them.
      seed: of the random bits of "stochastic", which are a function of it, the count and the place: a restart repeats
        them. An integer >= 0.

    Raises:
      ArgumentError: "remainder" with narrow parameters that are no bfloat16, at init.
      MissingParamsError: `update` without params.

    Source: master weights: Micikevicius et al. 2018, arXiv:1710.03740. Stochastic rounding: Gupta et al. 2015,
    arXiv:1502.02551; Zamirai et al. 2021, arXiv:2010.06192, also for Kahan summation of weights. Remainder: a split of
    the bits of a float32.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import Optimizer, sgd
      >>> ones = jnp.ones(2, jnp.bfloat16)
      >>> plain, kept = Optimizer(sgd(1e-3), ones), Optimizer(precision(sgd(1e-3)), ones)
      >>> for _ in range(100):
      ...     p, q = plain.step(jnp.ones(2)), kept.step(jnp.ones(2))
      >>> p, q
      (Array([1, 1], dtype=bfloat16), Array([0.898438, 0.898438], dtype=bfloat16))
    """
    tx = with_extra_args_support(inner)
    name = rounding or "master"
    way, programs = WAYS[name], PROGRAMS[name]

    def leaves_of(params: Params, beside: Any) -> tuple[list[Any], list[Any], list[int], Any]:
        treedef: Any
        leaves, treedef = jax.tree.flatten(params, is_leaf=is_none)
        kept = [()] * len(leaves) if beside is None else treedef.flatten_up_to(beside)
        return leaves, kept, [i for i, p in enumerate(leaves) if p is not None and _is_narrow(p)], treedef

    def wide(params: Params, beside: Any) -> Params:
        """The float32 weights."""
        leaves, kept, narrow, treedef = leaves_of(params, beside)
        for i, w in zip(narrow, programs.read.map([(leaves[i], kept[i]) for i in narrow], None), strict=True):
            leaves[i] = w
        return treedef.unflatten(leaves)

    def start(params: Params) -> Any:
        if way.field is None:
            return None
        leaves, _, narrow, treedef = leaves_of(params, None)
        wrong = [leaves[i].dtype for i in narrow if name == "remainder" and leaves[i].dtype != jnp.bfloat16]
        if wrong:
            raise ArgumentError(f"precision: rounding='remainder' takes bfloat16 parameters, got {wrong[0]}.")
        return treedef.unflatten([way.start(p) if i in narrow else None for i, p in enumerate(leaves)])

    def begin(params: Params) -> Any:
        shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(jnp.shape(p), jnp.result_type(p)), params)
        if any(map(_is_narrow, jax.tree.leaves(shapes))):
            params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32) if _is_narrow(p) else p, params)
        return _stored(tx, tx.init(params), state_dtype)

    init = fields(
        PrecisionState,
        count=count(),
        beside=_beside(way, start),
        inner_state=dataclasses.replace(inner_state(tx), make=begin),
    )

    def advance(updates: Any, state: Any, params: Params, extra: dict[str, Any], by_hand: bool) -> Advanced:
        require_params("precision", params)
        before = wide(params, state.beside)
        inner_now = _loaded(tx, state.inner_state, before, state_dtype)
        done = advanced(tx, updates, inner_now, before, extra)
        point = done.reached(before) if done.point is not None else done.params
        leaves, kept, narrow, treedef = leaves_of(params, state.beside)
        weights = treedef.flatten_up_to(done.params)
        words = jnp.stack([state.count.astype(jnp.uint32), jnp.asarray(seed).astype(jnp.uint32)])
        rows = [(weights[i], leaves[i], np.uint32(i)) for i in narrow]
        written = (programs.write_by_hand if by_hand else programs.write).map(rows, words)
        after = list(treedef.flatten_up_to(done.updates) if by_hand else weights)
        for i, (new, rest) in zip(narrow, written, strict=True):
            after[i], kept[i] = new, rest
        beside = None if state.beside is None else treedef.unflatten(kept)
        inner_after = _stored(tx, done.state, state_dtype)
        new_state = PrecisionState(safe_increment(state.count), beside, inner_after)
        new_tree = treedef.unflatten(after)
        if by_hand:
            return Advanced(None, new_state, new_tree, point)
        return Advanced(new_tree, new_state, done.updates, point)

    return moving(init, advance, {"inner": tx}, {"inner": ("inner_state",)})


def _beside(way: Way, make: Any) -> Field:
    """The field of what stands beside the parameters."""
    return Field("snapshot", make) if way.field is None else dataclasses.replace(way.field(), make=make)


def _stored(tx: Any, state: Any, dtype: Any) -> Any:
    """A state as it is kept between updates."""
    if dtype is None:
        return state
    lifts = jnp.finfo(dtype).bits >= 32

    def change(field: Field, value: Any) -> Any:
        if not field.like_params or (field.role == "second_moment" and not lifts):
            return value
        return jax.tree.map(store, value, is_leaf=is_quantized)

    def store(x: Any) -> Any:
        return x if is_quantized(x) or not jnp.issubdtype(x.dtype, jnp.floating) else x.astype(dtype)

    return map_fields(tx, state, change)


def _loaded(tx: Any, state: Any, params: Params, dtype: Any) -> Any:
    """A kept state as the transformation knows it."""
    if dtype is None:
        return state
    return jax.tree.map(lambda x, like: x.astype(like.dtype), state, jax.eval_shape(tx.init, params))
