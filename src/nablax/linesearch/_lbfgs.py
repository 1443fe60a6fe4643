"""L-BFGS: gradients times an inverse Hessian known from the last steps.

    s_k = w_{k+1} - w_k,   y_k = g_{k+1} - g_k,   rho_k = 1 / <s_k, y_k>
    H   = V_k^T H_{k-1} V_k + rho_k s_k s_k^T,    V_k = I - rho_k y_k s_k^T,   H_0 = gamma I
    gamma = <s, y> / <y, y> of the last pair;  min(1, 1/|g|) before there is one

H is never formed: two loops over the pairs apply it. Where the function is not convex <s, y> can be negative, and H
would no longer be positive definite: the direction could lead up. Such a pair, and one that is lost in rounding, is
stored as zeros with rho = 0, which both loops pass over.

Sources: Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7; Liu & Nocedal 1989, doi:10.1007/BF01589116.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import (
    COUNT,
    RATE,
    TRANSFORMATION,
    GradientTransformation,
    GradientTransformationExtraArgs,
    MissingParamsError,
    ScalarOrSchedule,
    automatic,
    chain,
    check_number,
    checked,
    identity,
    safe_increment,
    wrapper,
    zero_count,
)
from nablax.linesearch._objective import inner, scalar_dtype
from nablax.linesearch._scale_by_zoom import scale_by_zoom_linesearch
from nablax.transforms import scale, scale_by_learning_rate

_ZOOM = scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one")


class ScaleByLBFGSState(NamedTuple):
    """count: updates so far, int32. params, updates: w and g of the last update. diff_params_memory,
    diff_updates_memory: s and y, a new leading axis of length memory_size, at least float32; pair k stands at
    k mod memory_size. weights_memory: rho, shape (memory_size,); 0 where there is no pair."""

    count: Any
    params: Any
    updates: Any
    diff_params_memory: Any
    diff_updates_memory: Any
    weights_memory: Any


def difference(new: Any, old: Any) -> Any:
    """new - old, in at least float32."""

    def leaf(a: Any, b: Any) -> Any:
        wide = tree.at_least_float32(jnp.result_type(a, b))
        return jnp.asarray(a, wide) - jnp.asarray(b, wide)

    return jax.tree.map(leaf, new, old)


def pair(memory: Any, i: Any) -> Any:
    """Entry i of a memory."""
    return jax.tree.map(lambda m: lax.dynamic_index_in_dim(m, i, keepdims=False), memory)


def curvature_weight(s: Any, y: Any, dtype: Any) -> jax.Array:
    """rho = 1 / <s, y>; 0 where <s, y> is not clearly positive."""
    sy = inner(s, y, dtype)
    size = jnp.sqrt(inner(s, s, dtype)) * jnp.sqrt(inner(y, y, dtype))
    positive = (sy > jnp.finfo(dtype).eps * size) & jnp.isfinite(size)
    return jnp.where(positive, 1 / jnp.where(positive, sy, 1), 0)


def remember(memory: Any, entry: Any, i: Any, keep: jax.Array) -> Any:
    """The memory with entry i replaced: by zeros unless `keep`."""

    def leaf(m: Any, x: Any) -> Any:
        return lax.dynamic_update_index_in_dim(m, jnp.where(keep, x, 0).astype(m.dtype), i, 0)

    return jax.tree.map(leaf, memory, entry)


def times_inverse_hessian(
    g: Any, steps: Any, changes: Any, weights: jax.Array, newest: jax.Array, scaled: bool = True
) -> Any:
    """H g, by the two-loop recursion (Nocedal & Wright 2006, Algorithm 7.4).

    Args:
      g: tree of arrays.
      steps, changes: memories of s and y.
      weights: rho for each pair; pairs of weight 0 take no part.
      newest: where the newest pair stands; older ones stand before it, cyclically.
      scaled: H_0 = gamma I, not I.
    """
    m, dtype = weights.shape[0], weights.dtype

    def add(x: Any, factor: jax.Array, direction: Any) -> Any:
        return jax.tree.map(lambda a, b: a + factor.astype(jnp.finfo(a.dtype).dtype) * b, x, direction)

    # Known before the loops, so that a round spends no operation of its own on them.
    order = (newest - jnp.arange(m)) % m

    def from_newest(j: Any, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        q, alphas = carry
        i = order[j]
        alpha = weights[i] * inner(pair(steps, i), q, dtype)
        return add(q, -alpha, pair(changes, i)), alphas.at[j].set(alpha)

    def from_oldest(j: Any, r: Any) -> Any:
        i = order[m - 1 - j]
        beta = weights[i] * inner(pair(changes, i), r, dtype)
        return add(r, alphas[m - 1 - j] - beta, pair(steps, i))

    wide = jax.tree.map(lambda x: jnp.asarray(x, tree.at_least_float32(jnp.result_type(x))), g)
    q, alphas = lax.fori_loop(0, m, from_newest, (wide, jnp.zeros_like(weights)))
    if scaled:
        gamma = _first_scale(wide, changes, weights, newest)
        q = jax.tree.map(lambda x: gamma.astype(jnp.finfo(x.dtype).dtype) * x, q)
    return lax.fori_loop(0, m, from_oldest, q)


def _first_scale(g: Any, changes: Any, weights: jax.Array, newest: jax.Array) -> jax.Array:
    """gamma = <s, y> / <y, y> of the newest pair that counts; without one, a first step of length 1 at most."""
    order = (newest - jnp.arange(weights.shape[0])) % weights.shape[0]
    last = order[jnp.argmax(weights[order] > 0)]
    known = weights[last] > 0

    def curvature_of(changes: Any) -> jax.Array:
        y = pair(changes, last)
        return weights[last] * inner(y, y, weights.dtype)

    # A branch of its own: fused with the update of the memory, XLA would copy the whole memory twice a step.
    curvature = lax.cond(known, curvature_of, lambda _: jnp.ones((), weights.dtype), changes)
    norm = tree.norm(g).astype(weights.dtype)
    return jnp.where(known, 1 / curvature, 1 / jnp.maximum(norm, 1))


@checked(memory_size=COUNT)
def scale_by_lbfgs(memory_size: int = 10, scale_init_precond: bool = True) -> GradientTransformation:
    """Multiplies gradients by the L-BFGS estimate of the inverse Hessian.

    Pairs of steps and gradient changes without positive curvature are left out, so the result never leads up: for
    every gradient g, <H g, g> >= 0. For complex parameters, pass the conjugate of JAX's gradient.

    Args:
      memory_size: pairs remembered, at least 1.
      scale_init_precond: scale the start of the recursion by gamma (see the head of this file).

    Raises:
      ArgumentError: memory_size is no integer.
      HyperparameterError: memory_size < 1.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; a memory of 3 to 20 pairs is what Nocedal & Wright 2006, section 7.2, recommend.

    Source: Liu & Nocedal 1989, doi:10.1007/BF01589116.
    """
    check_number("scale_by_lbfgs", "memory_size", memory_size, 1, integer=True)

    def init(params: Any) -> ScaleByLBFGSState:
        def memory(p: Any) -> Any:
            return jnp.zeros((memory_size, *jnp.shape(p)), tree.at_least_float32(jnp.result_type(p)))

        return ScaleByLBFGSState(
            count=zero_count(),
            params=tree.zeros_like(params),
            updates=tree.zeros_like(params),
            diff_params_memory=jax.tree.map(memory, params),
            diff_updates_memory=jax.tree.map(memory, params),
            weights_memory=jnp.zeros(memory_size, scalar_dtype(params)),
        )

    def update(
        updates: Any, state: ScaleByLBFGSState, params: Any = None, **extra: Any
    ) -> tuple[Any, ScaleByLBFGSState]:
        if params is None:
            raise MissingParamsError(
                "scale_by_lbfgs reads the parameters, but update() got params=None. Call update(gradients, state, "
                "params)."
            )
        return automatic(step, (updates, state, params), (updates, state))(updates, state, params)

    def step(updates: Any, state: ScaleByLBFGSState, params: Any) -> tuple[Any, ScaleByLBFGSState]:
        s, y = difference(params, state.params), difference(updates, state.updates)
        newest = (state.count - 1) % memory_size
        weight = jnp.where(state.count > 0, curvature_weight(s, y, state.weights_memory.dtype), 0)
        steps = remember(state.diff_params_memory, s, newest, weight > 0)
        changes = remember(state.diff_updates_memory, y, newest, weight > 0)
        weights = state.weights_memory.at[newest].set(weight)
        direction = times_inverse_hessian(updates, steps, changes, weights, newest, scale_init_precond)
        new = ScaleByLBFGSState(
            safe_increment(state.count),
            tree.cast_like(params, state.params),
            tree.cast_like(updates, state.updates),
            steps,
            changes,
            weights,
        )
        return tree.cast_like(direction, updates), new

    return wrapper(init, update)


@checked(learning_rate=RATE, memory_size=COUNT)
def lbfgs(
    learning_rate: ScalarOrSchedule | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Any = _ZOOM,
) -> GradientTransformationExtraArgs:
    """L-BFGS with a line search: for smooth functions whose gradient is exact, not a mini-batch's.

    `update` takes the keyword arguments that the line search does: `value`, `grad`, `value_fn`. `minimize` runs it to
    the end in one compiled loop.

    Args:
      learning_rate: scales the direction before the line search; None is 1.
      memory_size: pairs remembered, at least 1; the state holds 2 memory_size + 3 copies of the parameters.
      scale_init_precond: scale the start of the recursion by the last pair's curvature.
      linesearch: the transformation that chooses the rate; None takes the direction as it is.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: at `update`, a missing keyword argument.

    Defaults: as in Optax; a memory of 3 to 20 pairs is what Nocedal & Wright 2006, section 7.2, recommend.

    Source: Liu & Nocedal 1989, doi:10.1007/BF01589116; Nocedal & Wright 2006, Algorithms 7.4 and 7.5.

    Example:
      >>> from nablax.core import apply_updates
      >>> def f(x):
      ...     return jnp.sum(jnp.array([1.0, 30.0]) * (x - 2.0) ** 2)
      >>> tx, x = lbfgs(), jnp.zeros(2)
      >>> state = tx.init(x)
      >>> for _ in range(5):
      ...     value, grad = jax.value_and_grad(f)(x)
      ...     updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=f)
      ...     x = apply_updates(x, updates)
      >>> bool(jnp.allclose(x, 2.0, atol=1e-3))
      True
    """
    TRANSFORMATION("lbfgs", "linesearch", linesearch, optional=True)
    rate = scale(-1.0) if learning_rate is None else scale_by_learning_rate(learning_rate)
    return chain(
        scale_by_lbfgs(memory_size, scale_init_precond),
        rate,
        identity() if linesearch is None else linesearch,
    )
