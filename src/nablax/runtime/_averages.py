"""Averages of the parameters over the steps: better points than the last one, at the price of a copy.

All of them take the parameters as a step leaves them, before rounding: with `precision` inside they average the float32
weights. `averaged_params(state)` finds the average in any state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import (
    COUNT,
    DECAY,
    FLAG,
    TRANSFORMATION,
    Advanced,
    Field,
    GradientTransformationExtraArgs,
    Params,
    StructureError,
    advanced,
    as_array,
    checked,
    count,
    fields,
    inner_state,
    moving,
    number,
    require_params,
    safe_increment,
    scalar,
    snapshot,
    with_extra_args_support,
)
from nablax.tree import at_least_float32

_START = number(0, integer=True)


class AveragedParamsState(NamedTuple):
    """The state of `ema_params` and `swa`.

    Attributes:
      count: updates so far, an int32 scalar.
      weight: what the average is to be divided by, a float32 scalar; 0 before anything was averaged.
      average: tree like params, at least float32: the weighted sum, or the latest parameters before the start.
      inner_state: state of the inner transformation.
    """

    count: Any
    weight: Any
    average: Any
    inner_state: Any


class LatestParamsState(NamedTuple):
    """The state of `lawa`.

    Attributes:
      count: updates so far, an int32 scalar.
      taken: parameters that were taken so far, an int32 scalar.
      latest: tree like params with a leading axis of `size`, at least float32; a ring.
      inner_state: state of the inner transformation.
    """

    count: Any
    taken: Any
    latest: Any
    inner_state: Any


def _is_due(step: Any, start: Any, period: Any) -> Any:
    """Whether the parameters after update number `step` (from 1) count."""
    start, period = jnp.asarray(as_array(start)), jnp.asarray(as_array(period))
    return (step > start) & ((step - start) % period == 0)


def _wide(x: Any) -> Any:
    x = jnp.asarray(x)
    return x.astype(at_least_float32(x.dtype)) if jnp.issubdtype(x.dtype, jnp.inexact) else x


def _averaging(inner: Any, init: Any, follow: Callable[[Any, Any, Any], Any], who: str) -> Any:
    """A wrapper that lets `follow(state, step, point)` update its fields with the parameters after the step."""
    tx = with_extra_args_support(inner)

    def advance(updates: Any, state: Any, params: Params, extra: dict[str, Any], by_hand: bool) -> Advanced:
        require_params(who, params)
        done = advanced(tx, updates, state.inner_state, params, extra, by_hand)
        point = jax.tree.map(_wide, done.reached(params))
        step = safe_increment(state.count)
        new = follow(state, step, point)._replace(count=step, inner_state=done.state)
        return done._replace(state=new)

    return moving(init, advance, {"inner": tx}, {"inner": ("inner_state",)})


def _weighted(inner: Any, who: str, kept: Callable[[Any, Any], Any], start: Any, period: Any) -> Any:
    """average <- k average + (1 - k) point, and the same for the weight; `kept(n, weight)` is k for the n-th point."""
    init = fields(
        AveragedParamsState, count=count(), weight=scalar(0.0), average=snapshot(),
        inner_state=inner_state(with_extra_args_support(inner)),
    )  # fmt: skip

    def follow(state: Any, step: Any, point: Any) -> Any:
        due, begun = _is_due(step, start, period), state.weight > 0
        n = jnp.maximum(step - jnp.asarray(as_array(start)), 1) // jnp.asarray(as_array(period))
        k = jnp.where(begun, kept(n, state.weight), 0.0)
        new_weight = kept(n, state.weight)
        weight = jnp.where(begun, state.weight * k, 0.0) + (1 - new_weight)

        def leaf(a: Any, p: Any) -> Any:
            if not jnp.issubdtype(a.dtype, jnp.inexact):
                return p
            joined = (k * a + (1 - new_weight) * p).astype(a.dtype)
            return jnp.where(due, joined, jnp.where(begun, a, p))

        average = jax.tree.map(leaf, state.average, point)
        return state._replace(weight=jnp.where(due, weight, state.weight), average=average)

    return _averaging(inner, init, follow, who)


@checked(inner=TRANSFORMATION, decay=DECAY, debias=FLAG, warmup=FLAG, start=_START, period=COUNT)
def ema_params(
    inner: Any,
    decay: float = 0.999,
    *,
    debias: bool = True,
    warmup: bool = False,
    start: int = 0,
    period: int = 1,
) -> GradientTransformationExtraArgs:
    """Keeps an exponential moving average of the parameters beside the run, which goes on as without it.

    Args:
      inner: the transformation.
      decay: weight of the average in the next one, in [0, 1).
      debias: divide by the sum of the weights, so that the average is one of the points alone; False begins with the
        first point at full weight.
      warmup: the n-th point takes the smaller of decay and (1 + n)/(10 + n), so that early points are soon forgotten.
      start: updates before the first point is taken; until then the average is the latest point.
      period: updates from point to point, an integer >= 1.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: decay = 0.999 is that of Tarvainen & Valpola 2017.

    Source: Polyak & Juditsky 1992, doi:10.1137/0330046; Tarvainen & Valpola 2017, arXiv:1703.01780. The warm-up is that
    of TensorFlow's ExponentialMovingAverage.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import Optimizer, sgd
      >>> opt = Optimizer(ema_params(sgd(1.0), 0.5), jnp.zeros(1))
      >>> for _ in range(2):
      ...     _ = opt.step(-jnp.ones(1))
      >>> opt.params, opt.averaged_params
      (Array([2.], dtype=float32), Array([1.6666666], dtype=float32))
    """

    def kept(n: Any, weight: Any) -> Any:
        k = jnp.asarray(as_array(decay))
        k = jnp.minimum(k, (1 + n) / (10 + n)) if warmup else k
        return k if debias else jnp.where(weight > 0, k, 0.0)

    return _weighted(inner, "ema_params", kept, start, period)


@checked(inner=TRANSFORMATION, start=_START, period=COUNT)
def swa(inner: Any, *, start: int = 0, period: int = 1) -> GradientTransformationExtraArgs:
    """Stochastic weight averaging: the plain mean of the parameters after `start` updates, one every `period` updates.

    Args:
      inner: the transformation, as a rule with a learning rate that stays large or is cyclic.
      start: updates before the mean begins; until then it is the latest point.
      period: updates from point to point, an integer >= 1.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: every step from the start on; the paper takes one point an epoch.

    Source: Izmailov et al. 2018, arXiv:1803.05407.
    """
    return _weighted(inner, "swa", lambda n, weight: 1.0 - 1.0 / jnp.maximum(n, 1), start, period)


@checked(inner=TRANSFORMATION, size=COUNT, period=COUNT)
def lawa(inner: Any, *, size: int = 5, period: int = 100) -> GradientTransformationExtraArgs:
    """Latest weight averaging: the mean of the last `size` points, taken every `period` updates.

    It forgets old points at once, where an exponential average still hangs on them, and takes `size` copies.

    Args:
      inner: the transformation.
      size: points in the mean, an integer >= 1.
      period: updates from point to point, such as the steps of an epoch.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: both are ours; the paper takes a point an epoch.

    Source: Kaddour 2022, arXiv:2209.14981.
    """

    def rings(params: Params) -> Any:
        return jax.tree.map(lambda p: jnp.repeat(_wide(p)[None], int(size), 0), params)

    init = fields(
        LatestParamsState, count=count(), taken=count(), latest=Field("statistic", rings),
        inner_state=inner_state(with_extra_args_support(inner)),
    )  # fmt: skip

    def follow(state: Any, step: Any, point: Any) -> Any:
        due = _is_due(step, 0, period)
        place = state.taken % int(size)
        latest = jax.tree.map(lambda r, p: jnp.where(due, r.at[place].set(p), r), state.latest, point)
        return state._replace(taken=state.taken + due.astype(jnp.int32), latest=latest)

    return _averaging(inner, init, follow, "lawa")


def averaged_params(state: Any) -> Any:
    """The averaged parameters within a state, as wide as they were averaged: at least float32.

    Args:
      state: of a transformation with `ema_params`, `swa` or `lawa` somewhere in it; of several, the outermost.

    Raises:
      StructureError: there is none.
    """
    kinds = (AveragedParamsState, LatestParamsState)
    found = [
        x for x in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, kinds)) if isinstance(x, kinds)
    ]
    if not found:
        raise StructureError("averaged_params: no ema_params, swa or lawa in this state.")
    mine = found[0]
    if isinstance(mine, AveragedParamsState):
        weight = jnp.where(mine.weight > 0, mine.weight, 1.0)
        return jax.tree.map(lambda a: (a / weight).astype(a.dtype), mine.average)

    def mean(ring: Any) -> Any:
        if not jnp.issubdtype(ring.dtype, jnp.inexact):
            return ring[(mine.taken - 1) % ring.shape[0]]
        used = jnp.clip(mine.taken, 1, ring.shape[0])
        mask = (jnp.arange(ring.shape[0]) < used).reshape(-1, *[1] * (ring.ndim - 1))
        return jnp.sum(jnp.where(mask, ring, 0), 0) / used

    return jax.tree.map(mean, mine.latest)
