"""Gradient accumulation: several small batches make one update.

    a_n = a_{n-1} + (g_n - a_{n-1}) / n,     n = 1 ... k     (mean)
    a_n = a_{n-1} + g_n                                      (total)

At n = k the inner transformation sees a_k, once, and a starts again at zero.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    ANY_ARRAYS,
    ARRAY,
    COUNT,
    DTYPE,
    FLAG,
    FUNCTION,
    TRANSFORMATION,
    GradientTransformation,
    Init,
    Params,
    Transformation,
    Updates,
    accumulator,
    as_array,
    body_of,
    checked,
    count,
    fields,
    filled_like,
    inner_state,
    is_array,
    leafwise,
    number,
    safe_increment,
    statistic,
    with_extra_args_support,
    wrapper,
    zero_count,
)
from nablax.transforms._branch import branch
from nablax.tree import is_none, reduce_scalars


class ApplyEvery(NamedTuple):
    """count: updates since the last one let out, int32. grad_acc: their sum, at least float32."""

    count: Any
    grad_acc: Any


def _sum_up(g: jax.Array, grad_acc: jax.Array, *, fresh: Any, emit: Any) -> tuple[jax.Array, jax.Array]:
    grad_acc = jnp.where(fresh, 0, grad_acc) + g
    return jnp.where(emit, grad_acc, 0), grad_acc


def _every(count: jax.Array, k: Any) -> dict[str, Any]:
    return {"fresh": count == 1, "emit": count == k, "count": (count % k).astype(count.dtype)}


@checked(k=COUNT)
def apply_every(k: Any = 1) -> GradientTransformation:
    """Sums up k updates and lets the sum out with the last of them; the others are zero.

    In a chain the links before and after still run at every step: `MultiSteps` wraps them instead.

    Args:
      k: updates to sum, at least 1.

    Raises:
      HyperparameterError: k is less than 1.

    Defaults: as in Optax.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = apply_every(2)
      >>> state = tx.init(jnp.zeros(()))
      >>> first, state = tx.update(jnp.array(1.0), state)
      >>> second, state = tx.update(jnp.array(2.0), state)
      >>> print(first, second)
      0.0 3.0
    """

    state = fields(ApplyEvery, count=count(), grad_acc=accumulator())
    return leafwise(_sum_up, state, hyperparams={"k": k}, scalars=_every)


class ShouldSkipUpdateFunction(Protocol):
    """`fn(updates, gradient_step, params) -> (should_skip, skip_state)`: which mini-steps to leave out.

    `should_skip` is a boolean scalar; `skip_state` is any tree whose structure and dtypes stay the same, kept in
    `MultiStepsState` for the user to read.
    """

    def __call__(self, updates: Updates, gradient_step: Any, params: Params | None) -> tuple[Any, Any]: ...


@jax.jit
def _count_not_finite(x: Any) -> jax.Array:
    return jnp.sum(~jnp.isfinite(x), dtype=jnp.int32)


def skip_not_finite(updates: Updates, gradient_step: Any, params: Params | None) -> tuple[jax.Array, Any]:
    """Skips mini-steps whose gradients hold an infinity or a NaN.

    Args:
      updates, gradient_step, params: see `ShouldSkipUpdateFunction`.

    Returns:
      Whether to skip, and `{"should_skip": bool scalar, "num_not_finite": int32 scalar}`.
    """
    del gradient_step, params
    ANY_ARRAYS("skip_not_finite", "updates", updates)
    counts = [_count_not_finite(x) for x in jax.tree.leaves(updates) if is_array(x)]
    total = reduce_scalars(operator.add, counts) if counts else zero_count()
    return total > 0, {"should_skip": total > 0, "num_not_finite": total}


def skip_large_updates(
    updates: Updates, gradient_step: Any, params: Params | None, max_squared_norm: Any
) -> tuple[jax.Array, Any]:
    """Skips mini-steps whose gradients have a joint squared norm above a bound, or one that is NaN.

    Args:
      updates, gradient_step, params: see `ShouldSkipUpdateFunction`; bind `max_squared_norm` by `functools.partial`.
      max_squared_norm: the bound.

    Returns:
      Whether to skip, and `{"should_skip": bool scalar, "norm_squared": scalar, at least float32}`.
    """
    del gradient_step, params
    ARRAY("skip_large_updates", "max_squared_norm", max_squared_norm)
    squared = tree.norm(updates, squared=True)
    skip = ~(squared <= jnp.asarray(max_squared_norm))
    return skip, {"should_skip": skip, "norm_squared": squared}


class MultiStepsState(NamedTuple):
    """The state of `MultiSteps`.

    Attributes:
      mini_step: mini-steps accumulated since the last update, int32 scalar.
      gradient_step: updates done, int32 scalar.
      inner_opt_state: state of the wrapped transformation.
      acc_grads: mean or sum of the gradients so far, like params, at least float32 and no less precise than they are.
      skip_state: what `should_skip_update_fn` last returned; () without one.
    """

    mini_step: Any
    gradient_step: Any
    inner_opt_state: Any
    acc_grads: Any
    skip_state: Any = ()


def _accumulate(
    g: jax.Array, acc_grads: jax.Array, *, n: Any, skip: Any, mean: bool
) -> tuple[jax.Array, jax.Array]:
    acc = acc_grads + ((g - acc_grads) / n if mean else g)
    return jnp.zeros_like(g), jnp.where(skip, acc_grads, acc)


def _place_in_batch(mini_step: jax.Array) -> dict[str, Any]:
    return {"n": mini_step + 1}


@jax.jit
def _steps(mini_step: Any, gradient_step: Any, k: Any, skip: Any) -> tuple[Any, Any, Any]:
    """Whether to emit, and the next counts."""
    emit = ~skip & (mini_step + 1 >= k)
    grown = jnp.where(skip, mini_step, mini_step + 1)
    return (
        emit,
        jnp.where(emit, jnp.zeros_like(mini_step), grown),
        jnp.where(emit, safe_increment(gradient_step), gradient_step),
    )


class MultiSteps(Transformation):
    """Accumulates gradients over k mini-steps and updates with their mean.

    The updates of the other mini-steps are zero, and the inner transformation runs once per k: it sees neither them nor
    a mini-step that was skipped. It is itself a transformation and may stand in a chain.

    Args:
      opt: the transformation to wrap.
      every_k_schedule: k, at least 1; or a function of the number of updates done (`gradient_step`) to k.
      use_grad_mean: hand over the mean of the gradients, else their sum.
      should_skip_update_fn: see `ShouldSkipUpdateFunction`; a skipped mini-step does not count.
      accumulator_dtype: dtype of the accumulator; it is raised to at least float32 and to the precision of params, so
        that float64 and complex gradients keep what they hold.

    Raises:
      ArgumentError: every_k_schedule is no number and no function.
      HyperparameterError: every_k_schedule is less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import sgd
      >>> tx = MultiSteps(sgd(1.0), 2)
      >>> state = tx.init(jnp.zeros(()))
      >>> first, state = tx.update(jnp.array(1.0), state)
      >>> second, state = tx.update(jnp.array(3.0), state)
      >>> print(first, second, tx.has_updated(state))
      0.0 -2.0 True
    """

    __slots__ = ()

    def __new__(
        cls,
        opt: Any,
        every_k_schedule: Any,
        use_grad_mean: bool = True,
        should_skip_update_fn: ShouldSkipUpdateFunction | None = None,
        accumulator_dtype: Any = jnp.float32,
    ) -> Any:
        if isinstance(opt, Init):  # the two halves of one, put together again
            return super().__new__(cls, opt, every_k_schedule)
        return _multi_steps(opt, every_k_schedule, use_grad_mean, should_skip_update_fn, accumulator_dtype)

    @property
    def inner_opt(self) -> GradientTransformation:
        """The wrapped transformation."""
        return self.children["opt"]

    def has_updated(self, state: Any) -> Any:
        """Whether the last mini-step ended a batch and so updated the parameters.

        Args:
          state: the state that `update` returned.
        """
        return jnp.logical_and(state.mini_step == 0, state.gradient_step > 0)

    def gradient_transformation(self) -> GradientTransformation:
        """This transformation: it is one already."""
        return self


@checked(
    None,
    "MultiSteps",
    opt=TRANSFORMATION,
    every_k_schedule=number(1, integer=True, schedule=True),
    use_grad_mean=FLAG,
    should_skip_update_fn=FUNCTION,
    accumulator_dtype=DTYPE,
)
def _multi_steps(
    opt: Any,
    every_k_schedule: int | Callable[[Any], Any],
    use_grad_mean: bool = True,
    should_skip_update_fn: ShouldSkipUpdateFunction | None = None,
    accumulator_dtype: Any = jnp.float32,
) -> MultiSteps:
    tx = with_extra_args_support(opt)
    accumulate = leafwise(
        _accumulate,
        fields(
            MultiStepsState,
            mini_step=count(),
            gradient_step=count(),
            inner_opt_state=inner_state(tx),
            acc_grads=statistic(lambda p: _zeros_to_accumulate(p, accumulator_dtype)),
        ),
        name="MultiSteps",
        options={"mean": bool(use_grad_mean)},
        scalars=_place_in_batch,
        extra=("skip",),
    )
    gather: Any = body_of(accumulate)

    def init(params: Params) -> MultiStepsState:
        state = gather.init(params)
        if should_skip_update_fn is None:
            return state
        return state._replace(skip_state=should_skip_update_fn(state.acc_grads, zero_count(), params)[1])

    def update(
        updates: Updates, state: Any, params: Params = None, **extra: Any
    ) -> tuple[Updates, MultiStepsState]:
        k = (
            every_k_schedule(state.gradient_step)
            if callable(every_k_schedule)
            else as_array(every_k_schedule)
        )
        skip, skip_state = jnp.array(False), state.skip_state
        if should_skip_update_fn:
            skip, skip_state = should_skip_update_fn(updates, state.gradient_step, params)
        zeros, state = gather.update(updates, state, None, {"skip": skip})
        emit, mini_step, gradient_step = _steps(state.mini_step, state.gradient_step, k, skip)

        def step() -> tuple[Any, Any, Any]:
            acc = jax.tree.map(
                lambda g, a: None if g is None else a, updates, state.acc_grads, is_leaf=is_none
            )
            new, inner = tx.update(acc, state.inner_opt_state, params, **extra)
            return tree.cast_like(new, like), inner, tree.zeros_like(state.acc_grads)

        like = _as_inner_updates(tx, updates, state.inner_opt_state, params, extra)
        zeros = tree.cast_like(zeros, like)
        new, inner, acc = branch(emit, step, lambda: (zeros, state.inner_opt_state, state.acc_grads))
        return new, MultiStepsState(mini_step, gradient_step, inner, acc, skip_state)

    made = wrapper(init, update, {"opt": tx}, {"opt": ("inner_opt_state",)}, count=("gradient_step",))
    return MultiSteps.of(made.call)


def _as_inner_updates(tx: Any, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> Any:
    """A tree with the dtypes that the inner updates have for gradients like these, which are summed in wider ones."""
    leaves = jax.tree.leaves((updates, state, params))
    dtypes = {x.dtype if hasattr(x, "dtype") else jnp.result_type(x) for x in leaves}
    if len({d for d in dtypes if jnp.issubdtype(d, jnp.inexact)}) < 2:
        return updates
    return jax.eval_shape(lambda: tx.update(updates, state, params, **extra)[0])


def _zeros_to_accumulate(p: Any, dtype: Any) -> jax.Array:
    """The accumulator of one leaf, in no less precision than the leaf, and at least float32."""
    wide = tree.at_least_float32(jnp.result_type(p) if dtype is None else dtype)
    return filled_like(p, 0, jnp.promote_types(wide, jnp.result_type(p)))
