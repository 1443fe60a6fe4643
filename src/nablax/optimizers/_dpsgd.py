"""Private gradient descent: gradients of single examples are clipped and averaged, and noise is added.

    u = -lr (sum_i clip(g_i) + l2_norm_clip noise_multiplier N(0, I)) / examples

Source: Abadi et al. 2016, arXiv:1607.00133, Algorithm 1.
"""

from __future__ import annotations

from typing import Any

from nablax.core import GradientTransformationExtraArgs, ScalarOrSchedule, chain, identity
from nablax.optimizers._arguments import checked
from nablax.transforms import differentially_private_aggregate, scale_by_learning_rate, trace


@checked()
def dpsgd(
    learning_rate: ScalarOrSchedule,
    l2_norm_clip: float,
    noise_multiplier: float,
    seed: Any,
    momentum: float | None = None,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Gradient descent that reveals little of any single example; `update` takes gradients with a batch axis in front.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      l2_norm_clip: bound on each example's gradient norm, positive.
      noise_multiplier: standard deviation of the noise over that bound, not negative.
      seed: random key, or an int.
      momentum: weight of past steps, in [0, 1]; None keeps none.
      nesterov: look one step ahead.

    Raises:
      HyperparameterError: a number out of its range.

    Source: Abadi et al. 2016, arXiv:1607.00133.
    """
    return chain(
        differentially_private_aggregate(l2_norm_clip, noise_multiplier, seed),
        identity() if momentum is None else trace(momentum, nesterov),
        scale_by_learning_rate(learning_rate),
    )
