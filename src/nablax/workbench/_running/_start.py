"""Where runs begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .._problems import Problem


@dataclass(frozen=True)
class Start:
    """The same parameters and keys for a seed, whatever the optimizer and the rate.

    Attributes:
      params: initial parameters, stacked over seeds.
      keys: of the data, one for each seed.
      seeds: the seeds.
    """

    params: Any
    keys: Any
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem, seeds: Sequence[int]) -> Start:
        both = _keys(np.asarray(seeds, np.int32))
        params = [problem.init(key) for key in both[:, 0]]
        stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *params)
        return cls(stacked, both[:, 1], tuple(int(seed) for seed in seeds))

    @property
    def one(self) -> Any:
        """Shapes of the parameters of one run."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), self.params)


@jax.jit
def _keys(seeds: jax.Array) -> Any:
    """For each seed a key of the initial parameters, and one of the data."""
    return jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(seeds)


jax.tree_util.register_dataclass(Start, data_fields=["params", "keys"], meta_fields=["seeds"])
