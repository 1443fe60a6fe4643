"""Stochastic gradient descent, plain and with momentum.

    m_t = g_t + momentum m_{t-1}
    u_t = -lr_t m_t                                 heavy ball
    u_t = -lr_t (g_t + momentum m_t)                Nesterov

Sources: Robbins & Monro 1951, doi:10.1214/aoms/1177729586; Polyak 1964, doi:10.1016/0041-5553(64)90137-5;
Nesterov 1983; Sutskever et al. 2013.
"""

from __future__ import annotations

from typing import Any

from nablax.core import GradientTransformationExtraArgs, ScalarOrSchedule, chain, identity
from nablax.optimizers._arguments import checked
from nablax.transforms import scale_by_learning_rate, trace


@checked()
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: float | None = None,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
) -> GradientTransformationExtraArgs:
    """Stochastic gradient descent, with momentum where asked.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      momentum: weight of the past, in [-1, 1]; None keeps no accumulator.
      nesterov: look one step ahead.
      accumulator_dtype: dtype of the momentum; None follows each parameter's.

    Returns:
      A chain of `trace` (or `identity`) and `scale_by_learning_rate`.

    Raises:
      HyperparameterError: a number out of its range.

    Source: Robbins & Monro 1951, doi:10.1214/aoms/1177729586; Sutskever et al. 2013.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from nablax.core import apply_updates
      >>> tx = sgd(0.1, momentum=0.9)
      >>> x = jnp.array([1.0, -2.0])
      >>> state = tx.init(x)
      >>> for _ in range(200):
      ...     updates, state = tx.update(jax.grad(lambda x: jnp.sum(x**2))(x), state)
      ...     x = apply_updates(x, updates)
      >>> bool(jnp.abs(x).max() < 1e-3)
      True
    """
    return chain(
        identity() if momentum is None else trace(momentum, nesterov, accumulator_dtype),
        scale_by_learning_rate(learning_rate),
    )


@checked()
def momentum(learning_rate: ScalarOrSchedule, decay: float = 0.9) -> GradientTransformationExtraArgs:
    """Gradient descent with heavy-ball momentum: `sgd` with the value everybody starts from.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      decay: weight of the past, in [-1, 1].

    Defaults: 0.9 is the value of Sutskever et al. 2013 and of most that followed; torch.optim and Optax have none.

    Source: Polyak 1964, doi:10.1016/0041-5553(64)90137-5.
    """
    return chain(trace(decay), scale_by_learning_rate(learning_rate))


@checked()
def nesterov(learning_rate: ScalarOrSchedule, decay: float = 0.9) -> GradientTransformationExtraArgs:
    """Gradient descent with Nesterov's momentum.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      decay: weight of the past, in [-1, 1].

    Defaults: as in `momentum`.

    Source: Nesterov 1983; in this form Sutskever et al. 2013.
    """
    return chain(trace(decay, nesterov=True), scale_by_learning_rate(learning_rate))
