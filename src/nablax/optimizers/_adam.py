"""Adam and its decoupled and Nesterov forms.

    m_t = b1 m_{t-1} + (1 - b1) g_t
    v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
    u_t = -lr_t m^_t / (sqrt(v^_t + eps_root) + eps),   m^_t = m_t / (1 - b1^t),   v^_t = v_t / (1 - b2^t)

With Nesterov's look ahead  m^_t = b1 m_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t).
AdamW adds weight_decay p_t to the direction before the learning rate.

Sources: Kingma & Ba 2015, arXiv:1412.6980; Loshchilov & Hutter 2019, arXiv:1711.05101; Dozat 2016, "Incorporating
Nesterov momentum into Adam".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from nablax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
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
from nablax.optimizers._arguments import checked
from nablax.transforms import add_decayed_weights, scale_by_learning_rate


class ScaleByAdamState(NamedTuple):
    """count: updates so far, int32. mu: m_t, like params or in mu_dtype. nu: v_t, real, at least float32."""

    count: Any
    mu: Any
    nu: Any


def _adam(
    g: jax.Array, mu: jax.Array, nu: jax.Array, *, b1: Any, b2: Any, eps: Any, eps_root: Any,
    c1: Any, c1_next: Any, c2: Any,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    mu = lerp(mu, g, b1)
    nu = lerp(nu, abs_sq(g), b2)
    mu_hat = mu / c1 if c1_next is None else b1 * (mu / c1_next) + (1 - b1) * (g / c1)
    return mu_hat / (jax.lax.sqrt(nu / c2 + eps_root) + eps), mu, nu


def _corrections(count: jax.Array, b1: Any, b2: Any, nesterov: bool) -> dict[str, Any]:
    return {"c1": 1 - b1**count, "c1_next": 1 - b1 ** (count + 1) if nesterov else None, "c2": 1 - b2**count}


@checked()
def scale_by_adam(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam's direction: the bias-corrected mean of gradients over the root of that of their squares.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1).
      eps: added to the root, not negative.
      eps_root: added inside the root, not negative; positive where one differentiates through the update.
      mu_dtype: dtype of the first moment; None follows each parameter's.
      nesterov: look one step ahead.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in `adam`.

    Source: Kingma & Ba 2015, arXiv:1412.6980; Dozat 2016.
    """

    state = fields(ScaleByAdamState, count=count(), mu=first_moment(mu_dtype), nu=second_moment())

    return leafwise(
        _adam,
        state,
        hyperparams={"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root},
        options={"nesterov": nesterov},
        scalars=_corrections,
    )


@checked()
def adam(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam: steps of about the learning rate in each coordinate, whatever the scale of the gradients.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, mu_dtype, nesterov: as in `scale_by_adam`.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; b1, b2 and eps are those of the paper, Algorithm 1.

    Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = adam(1e-3)
      >>> updates, state = tx.update(jnp.array([10.0, -0.1]), tx.init(jnp.zeros(2)))
      >>> updates.round(5)
      Array([-0.001,  0.001], dtype=float32)
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )


@checked()
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam with decoupled weight decay: u = -lr (m^ / (sqrt(v^) + eps) + weight_decay p).

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, mu_dtype, nesterov: as in `scale_by_adam`.
      weight_decay: multiplied by the learning rate, as in PyTorch.
      mask: leaves that decay; see `add_decayed_weights`.

    Raises:
      HyperparameterError: a number out of its range.
      MissingParamsError: `update` without params.

    Defaults: as in Optax, whose weight_decay is 1e-4 where torch.optim has 1e-2; b1, b2 and eps are those of Kingma &
    Ba 2015, Algorithm 1.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@checked()
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """Adam with Nesterov's look ahead.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, mu_dtype, nesterov: as in `scale_by_adam`.

    Defaults: as in Optax; b1, b2 and eps are Adam's.

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", ICLR workshop.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )


@checked()
def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """NAdam with decoupled weight decay.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      b1, b2, eps, eps_root, mu_dtype, nesterov: as in `scale_by_adam`.
      weight_decay, mask: as in `adamw`.

    Defaults: as in Optax; b1, b2 and eps are Adam's.

    Source: Dozat 2016; Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
