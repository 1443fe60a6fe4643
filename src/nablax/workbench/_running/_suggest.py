"""Learning rates that Optuna suggests, each from all that was seen before (`nablax[optuna]`).

The study is made anew for each question, of what is known, and its seed is the number of the question: so a comparison
that was interrupted goes on as it would have.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from nablax.core import ArgumentError

_STARTUP = (
    4  # rates at random, before the sampler (a tree-structured Parzen estimator) models what it has seen
)


def require_optuna() -> None:
    """Raises ArgumentError where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise ArgumentError("compare: --search optuna needs Optuna: pip install 'nablax[optuna]'")


def suggest(seen: Mapping[float, float], low: float, high: float) -> float:
    """The rate to try next, between low and high, to three digits.

    Args:
      seen: the final loss at each rate that was tried, finite.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where: dict[str, Any] = {"rate": optuna.distributions.FloatDistribution(low, high, log=True)}
    sampler = optuna.samplers.TPESampler(seed=len(seen), n_startup_trials=_STARTUP)
    study = optuna.create_study(sampler=sampler)
    study.add_trials(
        optuna.trial.create_trial(params={"rate": rate}, distributions=where, value=loss)
        for rate, loss in seen.items()
        if low <= rate <= high
    )
    rate = float(f"{study.ask(where).params['rate']:.3g}")
    return min(max(rate, low), high)
