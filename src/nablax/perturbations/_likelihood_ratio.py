"""The score-function estimator of f_sigma(x) = E f(x + sigma z), right to every order of differentiation.

The points y_i = x0 + sigma0 z_i are drawn at the present values x0, sigma0 and held fixed. What depends on x
and sigma is how likely they are: the ratio of densities

    M_i(x, sigma) = p(y_i; x, sigma) / p(y_i; x0, sigma0),     log p(y; x, sigma) = log mu((y - x)/sigma) -
    sum log sigma.

M_i is 1 here, and E f(y_i) d^k M_i = d^k E f for every k: the mean of f(y_i) M_i has every derivative of
f_sigma as its mean. The noise that the ratio sees is z_i + (x0 - x)/sigma, never (y_i - x)/sigma, which
rounding spoils.

**Baselines.** Since E M_i = 1 whatever x and sigma are, b (1 - M_i) adds nothing to the mean of any
derivative as long as b is independent of z_i. More than a number is possible: with a linear control h(y) = c
+ G (y - x0), whose mean is known,

    V = mean_i (f(y_i) - h_i(y_i)) M_i + E_(x, sigma) h_i

is unbiased in every order too. `linear` fits c and G on one half of the samples for the other half and vice
versa; what is left is the noise of f minus its best linear part. `leave_one_out` takes c from all other
samples, `value` is c = f(x).

Sources: Glynn 1990 (doi:10.1145/84537.84552) for the likelihood ratio; Foerster et al. 2018,
arXiv:1802.05098, for surrogates that hold to every order; Berthet et al. 2020, arXiv:2002.08676.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from ._noise import differentiable_never, log_ratio
from ._sampling import accumulate, draw

Evaluate = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def likelihood_ratio_estimate(
    evaluate: Evaluate,
    center: Callable[[], jax.Array],
    x: jax.Array,
    sigma: jax.Array,
    key: jax.Array,
    *,
    sigma_moves: bool,
    coarse: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    outputs: int,
    noise: Any,
    num_samples: int,
    pairs: bool,
    baseline: str,
    batch_size: int | None,
) -> jax.Array:
    """Estimates E f(x + sigma z), as a function of x and sigma whose derivatives are unbiased estimates.

    Args:
      evaluate: `evaluate(x, delta, salt, coarse)` is f(x + delta), a vector.
      center: f(x), where it is asked for.
      x: vector of length D.
      sigma: scalar, or a vector of length D.
      key: decides the samples.
      sigma_moves: whether anybody may differentiate in sigma.
      coarse: `coarse(x, sigma, z)` says how `evaluate` is to round.
      outputs: the length of f's values.
      noise: the law of z.
      num_samples: evaluations of f; even with `pairs`.
      pairs: draw half of the samples, and reflect them.
      baseline: "none", "value", "leave_one_out" or "linear".
      batch_size: evaluations at once.

    Returns:
      Vector of the length of f's values.
    """
    members = 2 if pairs else 1
    count = num_samples // members
    folds = 2 if baseline == "linear" else 1
    if not getattr(noise, "density", True):
        sigma = differentiable_never(
            sigma, f"{noise}: a derivative in sigma needs noise with a density, such as Normal()."
        )
    x0, sigma0 = jax.lax.stop_gradient((x, sigma))
    batch = None if batch_size is None else max(1, batch_size // members)
    # A number near all values, for the digits of what is left of them. A linear control or the other samples take any
    # such number away again, so that it may be the first value: beside f(x) it has the merit that it waits for the
    # noise. More than a few kernels that are ready at once XLA's CPU runtime hands to another thread, which takes
    # longer than they do; for the same reason `coarse` and the salts of `draw` look at the noise.
    own = baseline in ("linear", "leave_one_out") and (batch is None or batch >= count)
    shift: Any = 0.0
    if baseline != "none" and not own:
        shift = _finite(jax.lax.stop_gradient(center()))
    mean, std = getattr(noise, "mean", 0.0), getattr(noise, "std", 1.0)

    def sums(indices: jax.Array, live: jax.Array) -> dict[str, jax.Array]:
        z, salt = draw(noise, key, indices, x.size, x.dtype, pairs)
        if pairs:
            indices, live, salt = (jnp.tile(a, 2) for a in (indices, live, salt))
        values = jax.vmap(evaluate, (None, 0, 0, None))(x0, sigma0 * z, salt, coarse(x0, sigma0, z[0]))
        values = checkpoint_name(values, "evaluations")
        base = _finite(jax.lax.stop_gradient(values[0])) if own else shift
        e = jnp.where(live[:, None], values - base, 0)
        # The noise at which the sample lies, seen from x and sigma, less z: zero, with the right derivatives.
        delta = (x0 - x) / sigma
        log_volume: Any = 0.0
        if sigma_moves:
            delta = z * (sigma0 / sigma - 1) + delta
            log_volume = jnp.sum(jnp.broadcast_to(jnp.log(sigma / sigma0), x.shape))
        ratio = jnp.exp(log_ratio(noise, z, delta) - log_volume) / members
        in_fold = (live[:, None] & (indices[:, None] % folds == jnp.arange(folds))).astype(x.dtype)
        # Column by column: the derivative of a product with a broadcast is a sum over a short axis, see `log_ratio`.
        weight = jnp.stack([in_fold[:, a] * ratio for a in range(folds)], axis=1)
        out = {"e": _dot(weight, e), "1": jnp.sum(weight, 0)}
        if own:
            out["base"] = base
        if baseline == "leave_one_out":
            partner = jax.lax.stop_gradient(e)
            if pairs:
                partner = 0.5 * (partner + jnp.roll(partner, len(partner) // 2, 0))
            out["own"] = _dot(weight, partner)
        if baseline == "linear":
            u = (z - mean) / std
            fixed = jax.lax.stop_gradient(e) / members
            out["u"] = _dot(weight, u)
            fits = [fixed * in_fold[:, a, None] for a in range(folds)]
            out["eu"] = jnp.stack([jnp.matmul(fit.T, u, precision="highest") for fit in fits])
        return out

    # Values much smaller than the noise are kept for the backward pass, so that f runs once; others are
    # cheaper to have again.
    policies = jax.checkpoint_policies
    keep = (
        policies.save_only_these_names("evaluations") if 8 * outputs <= x.size else policies.nothing_saveable
    )
    s = accumulate(sums, count, batch, keep)
    shift = s.get("base", shift)

    if baseline in ("none", "value"):
        return s["e"][0] / count + shift
    total = jax.lax.stop_gradient(s["e"])
    if baseline == "leave_one_out":
        others = (total[0] * s["1"][0] - s["own"][0]) / (count - 1)
        return (s["e"][0] - others + total[0]) / count + shift

    # The mean of u = ((y - x0)/sigma0 - mean)/std over y = x + sigma z: zero here, with the right
    # derivatives.
    mean_u = jnp.broadcast_to(((x - x0) / sigma0 + (sigma / sigma0 - 1) * mean) / std, x.shape)
    value = shift
    for fold, other in ((0, 1), (1, 0)):
        n, n_fit = (count + 1 - fold) // 2, (count + 1 - other) // 2
        c = total[other] / n_fit
        slope = s["eu"][other] - jnp.outer(c, jax.lax.stop_gradient(s["u"][other]))
        # A slope estimated from few samples in many dimensions is mostly noise: this factor is best for a
        # linear f.
        slope = slope / (n_fit + (x.size + 1) / members)
        rest = s["e"][fold] - c * s["1"][fold] - slope @ s["u"][fold]
        value = value + rest / count + (c + slope @ mean_u) * (n / count)
    return value


def _finite(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.isfinite(x), x, 0)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """a^T b over the samples, in full precision on every device: a has one column or two."""
    return jnp.matmul(a.T, b, precision="highest")
