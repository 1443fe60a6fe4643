"""Steps along the sign of the gradient, or of its average.

    signSGD:  u_t = -lr_t sign(g_t)
    Signum:   u_t = -lr_t sign(m_t),   m_t = beta m_{t-1} + (1 - beta) g_t

The sign of a complex number is its direction z / |z|.

Source: Bernstein et al. 2018, arXiv:1802.04434.
"""

from __future__ import annotations

from typing import Any

from nablax.core import GradientTransformationExtraArgs, ScalarOrSchedule, chain, number
from nablax.optimizers._arguments import checked
from nablax.transforms import ema, scale_by_learning_rate, scale_by_sign


@checked()
def sign_sgd(learning_rate: ScalarOrSchedule) -> GradientTransformationExtraArgs:
    """Gradient descent by signs: every parameter moves by the learning rate.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.

    Raises:
      HyperparameterError: negative or NaN.

    Source: Bernstein et al. 2018, arXiv:1802.04434.
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@checked(beta=number(0, 1, open_high=True))
def signum(
    learning_rate: ScalarOrSchedule, beta: float = 0.9, accumulator_dtype: Any = None
) -> GradientTransformationExtraArgs:
    """Gradient descent by the signs of averaged gradients.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      beta: decay of the average, in [0, 1).
      accumulator_dtype: dtype of the average; None follows each parameter's.

    Raises:
      HyperparameterError: a number out of its range.

    Defaults: as in Optax; beta = 0.9 is that of the paper's experiments.

    Source: Bernstein et al. 2018, arXiv:1802.04434, Algorithm 2.
    """
    # The sign knows nothing of a positive factor: no bias correction is needed.
    return chain(
        ema(beta, debias=False, accumulator_dtype=accumulator_dtype),
        scale_by_sign(),
        scale_by_learning_rate(learning_rate),
    )
