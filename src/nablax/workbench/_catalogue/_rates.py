"""Learning rates on the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from nablax.core import HyperparameterError


def parse_rates(texts: Iterable[str]) -> list[float]:
    """Reads learning rates: numbers joined by commas, or `LOW:HIGH:COUNT` for a geometric grid. Sorted, each once.

    Raises:
      HyperparameterError: not a number, not positive, NaN or infinite.

    Example:
      >>> parse_rates(["1e-3:1e-1:3", "0.5"])
      [0.001, 0.01, 0.1, 0.5]
    """
    rates: set[float] = set()
    for text in (part for joined in texts for part in re.split(r"[,\s]+", joined.strip()) if part):
        low, *more = text.split(":")
        if not more:
            rates.add(_rate(text))
            continue
        if len(more) != 2 or not more[1].isdigit() or int(more[1]) < 2:
            raise HyperparameterError(
                f"compare: --lr takes NUMBER or LOW:HIGH:COUNT with COUNT >= 2, got {text!r}."
            )
        rates.update(geometric(_rate(low), _rate(more[0]), int(more[1])))
    if not rates:
        raise HyperparameterError("compare: --lr needs at least one learning rate.")
    return sorted(rates)


def geometric(low: float, high: float, count: int) -> list[float]:
    """Rates from low to high at equal ratios, to three digits, so that they can be typed again."""
    ratio = (high / low) ** (1 / (count - 1))
    return [float(f"{low * ratio**i:.3g}") for i in range(count)]


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise HyperparameterError(f"compare: --lr must be a number, got {text!r}.") from None
    if not (rate > 0 and math.isfinite(rate)):
        raise HyperparameterError(f"compare: --lr must be positive and finite, got {text}.")
    return rate
