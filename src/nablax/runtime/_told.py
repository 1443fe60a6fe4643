"""What the metrics of a step hold that needs no program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from nablax.core import under_trace, zero_count
from nablax.runtime._live import Numbers
from nablax.runtime._step import by_group, rate_paths


class Told:
    """What metrics hold that needs no program: rates that follow no schedule, and that no step can be skipped.

    Attributes:
      rates: paths of the learning rates, if none of them follows a schedule.
      last: the numbers that were asked for last, and what is known of them.
    """

    def __init__(self, numbers: Numbers, skip_nonfinite: bool):
        paths = [path for path in rate_paths(numbers.tx) if path in numbers.first]
        steady = not any(callable(numbers.known[path].value) for path in paths)
        self.rates = frozenset(paths if steady else ())
        self._paths, self._skips = paths, skip_nonfinite
        self.last: tuple[Any, dict[str, Any]] = (None, {})

    def about(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What is known of a step with these numbers."""
        of, known = self.last
        if of is values:
            return known
        known = {} if self._skips else {"skipped": zero_count()}
        if self.rates:
            wide = {path: jnp.asarray(values[path], jnp.result_type(float)) for path in self._paths}
            known["learning_rate"] = by_group(wide)
        if not under_trace():
            self.last = values, known
        return known
