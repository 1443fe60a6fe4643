"""Optimizers that are not called with a learning rate first, in the form of their paper and with one.

A recipe is made of public functions alone: the transformation that it returns prints as the call that makes it.
"""

from __future__ import annotations

from typing import Any

from nablax import optimizers
from nablax.core import chain
from nablax.transforms import normalize


def mechanize(learning_rate: Any, weight_decay: float = 0.01, s_init: float = 1e-6) -> Any:
    """Mechanic around AdamW: learns the scale of the rate."""
    return optimizers.mechanize(optimizers.adamw(learning_rate), weight_decay=weight_decay, s_init=s_init)


def polyak_sgd(
    learning_rate: Any = 1.0, f_min: float = 0.0, eps: float = 0.0, variant: str = "sps", scaling: float = 1.0
) -> Any:
    """Polyak's step size, of which the learning rate is the largest; it follows the loss."""
    return optimizers.polyak_sgd(learning_rate, scaling=scaling, f_min=f_min, eps=eps, variant=variant)


def sam(learning_rate: Any, rho: float = 0.05, sync_period: int = 2) -> Any:
    """Sharpness-aware gradient descent: every second update is a step, by the gradient rho away, uphill."""
    adversary = chain(normalize(), optimizers.sgd(rho))
    return optimizers.sam(optimizers.sgd(learning_rate), adversary, sync_period=sync_period)
