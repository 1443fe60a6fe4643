"""Student's t-interval: where a mean over seeds may lie, seeds taken for independent and normal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


def half_width(values: Sequence[float]) -> float | None:
    """Half the width of the interval around the mean at 95 %: t s / sqrt(n); None for fewer than two values.

    Example:
      >>> round(half_width([1.0, 2.0, 3.0]), 3)  # 4.303 * 1 / sqrt(3)
      2.484
    """
    if len(values) < 2:
        return None
    deviation = float(np.std(np.asarray(values, float), ddof=1))
    return float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * deviation / math.sqrt(len(values))


def told_apart(a: Sequence[float], b: Sequence[float]) -> bool | None:
    """Whether the interval of the mean difference, seed by seed, leaves out 0; None for fewer than two values."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    width = half_width(differences)
    return None if width is None else abs(float(np.mean(differences))) > width
