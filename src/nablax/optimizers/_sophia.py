"""Sophia: momentum over the diagonal of the Hessian, clipped.

    m_t = b1 m_{t-1} + (1 - b1) g_t,   m^_t = m_t / (1 - b1^t)
    h_t = b2 h_{t-1} + (1 - b2) estimate of the Hessian's diagonal      every update_interval steps
    u_t = -lr_t (clip(m^_t / max(gamma h_{t-1}, eps), +-clip_threshold) + weight_decay p_t)

    Hutchinson's estimate: z * (H z) for a vector z of random signs; its mean is the diagonal.

As in Optax an estimate serves from the step after it; in the paper from its own.

Source: Liu et al. 2023, arXiv:2305.14342, Algorithm 3, with a bias correction of the momentum; Hutchinson 1990,
doi:10.1080/03610919008812866.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import (
    ArgumentError,
    GradientTransformationExtraArgs,
    MaskOrFn,
    ScalarOrSchedule,
    as_array,
    bound,
    chain,
    count,
    fields,
    first_moment,
    inner_state,
    leafwise,
    lerp,
    random_key,
    require_params,
    safe_increment,
    second_moment,
    with_extra_args_support,
    wrapper,
)
from nablax.optimizers._arguments import checked, one_of
from nablax.optimizers._sums import leaf_sums
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class HutchinsonState(NamedTuple):
    """key: the random key of the next estimate."""

    key: jax.Array


class SophiaState(NamedTuple):
    """count: updates so far, int32. mu: m_t, like params or in mu_dtype. nu: h_t, real, at least float32.

    hessian_fn_state: of the transformation that estimates the diagonal.
    """

    count: jax.Array  # type: ignore[assignment]
    mu: Any
    nu: Any
    hessian_fn_state: Any


def _random_signs(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return jax.random.rademacher(key, shape, jnp.float32).astype(dtype)


@checked()
def hutchinson_estimator_diag_hessian(random_seed: Any = None) -> GradientTransformationExtraArgs:
    """Replaces updates by an estimate of the diagonal of the Hessian; `update` needs the loss as `obj_fn=`.

    Args:
      random_seed: an int or a key; None is 0.

    Returns:
      A transformation whose update takes `obj_fn`, a function of the parameters alone that returns a scalar.

    Raises:
      ArgumentError: `update` without obj_fn.
      MissingParamsError: `update` without params.

    Source: Hutchinson 1990, doi:10.1080/03610919008812866.

    Example: of a diagonal Hessian the estimate is exact.
      >>> import jax.numpy as jnp
      >>> tx = hutchinson_estimator_diag_hessian(0)
      >>> x = jnp.array([1.0, 2.0])
      >>> tx.update(x, tx.init(x), x, obj_fn=lambda x: x[0] ** 2 + 3 * x[1] ** 2)[0]
      Array([2., 6.], dtype=float32)
    """

    def first_key() -> jax.Array:
        seed = 0 if random_seed is None else random_seed
        return jax.random.PRNGKey(seed) if isinstance(seed, int) else jnp.asarray(seed)

    def update(
        updates: Any,
        state: HutchinsonState,
        params: Any = None,
        obj_fn: Callable[[Any], jax.Array] | None = None,
        **extra: Any,
    ) -> tuple[Any, HutchinsonState]:
        del updates, extra
        require_params("hutchinson_estimator_diag_hessian", params)
        if obj_fn is None:
            raise ArgumentError(
                "hutchinson_estimator_diag_hessian needs the loss as a function of the parameters. Call "
                "update(gradients, state, params, obj_fn=f)."
            )
        key, draw = jax.random.split(state.key)
        signs = tree.random_like(draw, params, _random_signs)
        _, products = jax.jvp(jax.grad(obj_fn), (params,), (signs,))
        diagonal = jax.tree.map(lambda z, hz: jnp.real(z * hz).astype(z.dtype), signs, products)
        return diagonal, HutchinsonState(key)

    return wrapper(fields(HutchinsonState, key=random_key(first_key)), update)


class _Moments(NamedTuple):
    mu: Any
    nu: Any


def _sophia(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, b1: Any, eps: Any, gamma: Any, clip_threshold: Any, c1: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    mu = lerp(mu, g, b1)
    ratio = (mu / c1) / jnp.maximum(gamma * nu, eps)
    if clip_threshold is not None:
        if jnp.iscomplexobj(ratio):
            clipped = (jnp.clip(part, -clip_threshold, clip_threshold) for part in (ratio.real, ratio.imag))
            ratio = jax.lax.complex(*clipped)
        else:
            ratio = jnp.clip(ratio, -clip_threshold, clip_threshold)
    return ratio, mu, nu


def _wins(u: jax.Array, clip_threshold: Any) -> dict[str, jax.Array]:
    return {"wins": (jnp.abs(u) < clip_threshold).astype(u.real.dtype), "all": jnp.ones_like(u.real)}


def _scale_by_sophia(
    b1: Any, b2: Any, eps: Any, gamma: Any, clip_threshold: Any, update_interval: int, hessian_diagonal_fn: Any,
    mu_dtype: Any, report_every: int,
) -> GradientTransformationExtraArgs:  # fmt: skip
    hessian = with_extra_args_support(hessian_diagonal_fn)
    direction = leafwise(
        _sophia,
        fields(_Moments, mu=first_moment(mu_dtype), nu=second_moment()),
        name="sophia",
        hyperparams={"b1": b1, "eps": eps, "gamma": gamma, "clip_threshold": clip_threshold},
        extra=("c1",),
    )

    first_state = fields(
        SophiaState,
        count=count(),
        mu=first_moment(mu_dtype),
        nu=second_moment(),
        hessian_fn_state=inner_state(hessian),
    )

    def update(updates: Any, state: SophiaState, params: Any = None, **extra: Any) -> tuple[Any, SophiaState]:
        require_params("sophia", params)

        def estimate(_: None) -> tuple[Any, Any]:
            diagonal, inner = hessian.update(updates, state.hessian_fn_state, params, **extra)
            nu = jax.tree.map(
                lambda v, h: lerp(v, jnp.real(h).astype(v.dtype), bound(b2)), state.nu, diagonal
            )
            return nu, inner

        now = jnp.mod(state.count, as_array(update_interval)) == 0
        nu, inner = jax.lax.cond(now, estimate, lambda _: (state.nu, state.hessian_fn_state), None)
        count = safe_increment(state.count)
        c1 = 1 - as_array(b1) ** count
        updates, moments = direction.update(updates, _Moments(state.mu, state.nu), params, c1=c1)
        if report_every and clip_threshold is not None:
            _report(updates, state.count, as_array(clip_threshold), as_array(report_every))
        return updates, SophiaState(count, moments.mu, nu, inner)

    return wrapper(
        first_state, update, {"hessian_diagonal_fn": hessian}, {"hessian_diagonal_fn": ("hessian_fn_state",)}
    )


def _report(updates: Any, count: Any, clip_threshold: Any, every: int) -> None:
    sums = leaf_sums(_wins, updates, clip_threshold=clip_threshold)
    rate = sums["wins"] / jnp.maximum(sums["all"], 1.0)
    jax.lax.cond(
        jnp.mod(count, every) == 0, lambda: jax.debug.print("Sophia win rate: {}", rate), lambda: None
    )


@checked(counts=False)
def sophia(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.965,
    b2: float = 0.99,
    eps: float = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    weight_decay_mask: MaskOrFn | None = None,
    gamma: float = 0.01,
    clip_threshold: float | None = 1.0,
    update_interval: int = 10,
    hessian_diagonal_fn: Any = hutchinson_estimator_diag_hessian(),  # noqa: B008 - a pair of pure functions
    mu_dtype: Any = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: int = 0,
    *,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Sophia: a clipped Newton step in each coordinate. By default `update` needs the loss as `obj_fn=`.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2: decays of the momentum and of the Hessian's diagonal, in [0, 1).
      eps: least denominator, not negative.
      weight_decay: multiplied by the learning rate.
      weight_decay_mask, mask: leaves that decay; see `add_decayed_weights`. Two names of one argument.
      gamma: share of the Hessian to divide by, not negative; raise it where less than a tenth of the entries escape
        clipping.
      clip_threshold: bound of the direction, positive; None does not clip.
      update_interval: steps between two estimates of the diagonal, at least 1.
      hessian_diagonal_fn: transformation that returns an estimate of the diagonal for updates; it gets the extra
        arguments of `update`.
      mu_dtype: dtype of the momentum; None follows each parameter's.
      verbose: print the share of entries that escaped clipping, every print_win_rate_every_n_steps.
      print_win_rate_every_n_steps: 0 prints nothing.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; b1, b2, gamma (0.01, for Hutchinson's estimator), clip_threshold and update_interval are
    those of the paper.

    Source: Liu et al. 2023, arXiv:2305.14342.
    """
    every = print_win_rate_every_n_steps if verbose else 0
    return chain(
        _scale_by_sophia(
            b1, b2, eps, gamma, clip_threshold, update_interval, hessian_diagonal_fn, mu_dtype, every
        ),
        add_decayed_weights(weight_decay, one_of("sophia", weight_decay_mask=weight_decay_mask, mask=mask)),
        scale_by_learning_rate(learning_rate),
    )
