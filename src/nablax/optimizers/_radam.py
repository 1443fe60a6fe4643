"""RAdam: Adam that waits for its second moment to be trustworthy.

    r_inf = 2 / (1 - b2) - 1,   r_t = r_inf - 2 t b2^t / (1 - b2^t)
    u_t = -lr_t m^_t                                     while r_t < threshold, and then
    u_t = -lr_t a_t m^_t / (sqrt(v^_t + eps_root) + eps)
    a_t^2 = (r_t - 4)(r_t - 2) r_inf / ((r_inf - 4)(r_inf - 2) r_t)

with Adam's m^_t and v^_t.

Source: Liu et al. 2020, arXiv:1908.03265, Algorithm 2.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    abs_sq,
    chain,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
    second_moment,
)
from nablax.optimizers._adam import ScaleByAdamState
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate


def _radam(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, b1: Any, b2: Any, eps: Any, eps_root: Any,
    c1: Any, c1_next: Any, c2: Any, rectifier: Any, trusted: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    mu = lerp(mu, g, b1)
    nu = lerp(nu, abs_sq(g), b2)
    mu_hat = mu / c1 if c1_next is None else b1 * (mu / c1_next) + (1 - b1) * (g / c1)
    adaptive = rectifier * mu_hat / (jnp.sqrt(nu / c2 + eps_root) + eps)
    return jnp.where(trusted, adaptive, mu_hat), mu, nu


def _rectify(count: jax.Array, b1: Any, b2: Any, threshold: Any, nesterov: bool) -> dict[str, Any]:
    longest = 2.0 / (1 - b2) - 1
    decayed = b2**count
    length = longest - 2 * count * decayed / (1 - decayed)
    trusted = length >= threshold
    length = jnp.where(
        trusted, length, longest
    )  # the root below is of no use, and may be of a negative number
    square = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return {
        "c1": 1 - b1**count,
        "c1_next": 1 - b1 ** (count + 1) if nesterov else None,
        "c2": 1 - decayed,
        "rectifier": jnp.sqrt(square),
        "trusted": trusted,
    }


@checked()
def scale_by_radam(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """RAdam's direction; its state is Adam's.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps, eps_root: added to the root and inside it, not negative.
      threshold: least r_t, the number of samples the second moment is worth, at which to divide by it; at least 4.
      nesterov: look one step ahead.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `radam`.

    Source: Liu et al. 2020, arXiv:1908.03265.
    """

    state = fields(ScaleByAdamState, count=count(), mu=first_moment(), nu=second_moment())

    return leafwise(
        _radam,
        state,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "threshold": threshold},
        options={"nesterov": nesterov},
        scalars=_rectify,
    )


@checked()
def radam(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """RAdam: Adam that needs no warm-up.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, threshold, nesterov: as in `scale_by_radam`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; threshold = 5 is that of the authors' implementation, b1, b2 and eps are Adam's.

    Source: Liu et al. 2020, arXiv:1908.03265.
    """
    return chain(
        scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )
