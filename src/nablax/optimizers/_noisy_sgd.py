"""Gradient descent with noise that fades:  u_t = -lr_t (g_t + N(0, eta / (1 + t)^gamma)).

Source: Neelakantan et al. 2015, arXiv:1511.06807.
"""

from __future__ import annotations

from typing import Any

from nablax.core import GradientTransformationExtraArgs, ScalarOrSchedule, chain
from nablax.optimizers._arguments import checked, one_of
from nablax.transforms import add_noise, scale_by_learning_rate


@checked()
def noisy_sgd(
    learning_rate: ScalarOrSchedule,
    eta: float = 0.01,
    gamma: float = 0.55,
    key: Any = None,
    *,
    seed: int | None = None,
) -> GradientTransformationExtraArgs:
    """Gradient descent with Gaussian noise on the gradients.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      eta: variance of the first noise, not negative.
      gamma: power of its decay, not negative.
      key: random key, or an int.
      seed: the same as an int.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: both key and seed are given.

    Defaults: as in Optax; gamma = 0.55 and eta = 0.01 are among those of the paper.

    Source: Neelakantan et al. 2015, arXiv:1511.06807.
    """
    return chain(
        add_noise(eta, gamma, one_of("noisy_sgd", key=key, seed=seed)), scale_by_learning_rate(learning_rate)
    )
