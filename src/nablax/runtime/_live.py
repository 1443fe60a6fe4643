"""Live hyperparameters: numbers that a compiled step reads from one array, so that setting one recompiles nothing.

All numbers of a transformation travel as one float vector (float64 under x64). NaN stands for "follow the schedule".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableMapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import ArgumentError, HyperparameterError, hyperparams, resolve, with_hyperparams


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Hyperparams(MutableMapping[str, float]):
    """The hyperparameters of a transformation, by path or by any short name that is unique.

    Reading gives a float; for a schedule that nobody overrode, the value of the next step. Setting a number takes
    effect at the next step. Setting None gives a schedule back its say, or a number its first value.

    Args:
      tx: the transformation; arrays among its hyperparameters stay as they are and are not listed.
      current: returns the value of the next step for each path.
    """

    def __init__(self, tx: Any, current: Any):
        known = {k: v for k, v in hyperparams(tx).items() if callable(v) or _is_number(v)}
        self._current = current
        self._first = known
        self._paths = list(known)
        self._values = np.array([math.nan if callable(v) else v for v in known.values()], float)
        self._device: jax.Array | None = None

    @property
    def vector(self) -> jax.Array:
        """The numbers as one array on the device."""
        if self._device is None:
            self._device = jnp.asarray(self._values, jnp.result_type(float))
        return self._device

    def bind(self, tx: Any, vector: Any) -> Any:
        """The transformation with its numbers read from a (traced) vector."""
        return with_hyperparams(
            tx, {path: _value(self._first[path], vector[i]) for i, path in enumerate(self._paths)}
        )

    def __getitem__(self, name: str) -> float:
        path = resolve(name, self._paths)
        value = self._values[self._paths.index(path)]
        return float(self._current()[path]) if math.isnan(value) else float(value)

    def __setitem__(self, name: str, value: Any) -> None:
        path = resolve(name, self._paths)
        first = self._first[path]
        if value is None:
            value = math.nan if callable(first) else first
        elif callable(value) or np.shape(value) != () or isinstance(value, bool | str):
            raise ArgumentError(
                f"hyperparameters[{name!r}] takes a number or None, got {type(value).__name__}: {value!r}."
            )
        elif not math.isfinite(float(value)):
            raise HyperparameterError(f"hyperparameters[{name!r}] must be a finite number, got {value}.")
        elif path.endswith("learning_rate") and float(value) < 0 and (callable(first) or first >= 0):
            raise HyperparameterError(f"hyperparameters[{name!r}] must not be negative, got {value}.")
        self._values[self._paths.index(path)] = float(value)
        self._device = None

    def __delitem__(self, name: str) -> None:
        self[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"Hyperparams({dict(self)})"


def _value(first: Any, live: jax.Array) -> Any:
    if not callable(first):
        return live
    return lambda count: jnp.where(jnp.isnan(live), first(count), live)
