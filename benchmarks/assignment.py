"""The assignment problem on 256 x 256, against Optax and scipy.

python benchmarks/assignment.py            about ten seconds
python benchmarks/assignment.py --quick    a smoke check
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import linear_sum_assignment

import nablax.assignment
from harness import arguments, medians, milliseconds, table, times, where


def problems(size: int) -> dict[str, np.ndarray]:
    """Cost matrices: random, with many ties, and the hardest for augmenting paths."""
    rng = np.random.default_rng(0)
    return {
        "uniform": rng.uniform(size=(size, size)).astype(np.float32),
        "ties": rng.integers(0, 100, (size, size)).astype(np.float32),
        "products": np.outer(np.arange(size), np.arange(size)).astype(np.float32),
    }


def peers(cost: np.ndarray) -> dict[str, Callable[[], Any]]:
    """A call of each solver."""
    array = jnp.asarray(cost)
    solvers = {
        "nablax": jax.jit(nablax.assignment.hungarian_algorithm),
        "base": jax.jit(nablax.assignment.base_hungarian_algorithm),
        "optax": jax.jit(optax.assignment.hungarian_algorithm),
    }
    compiled = {name: lambda solver=solver: solver(array) for name, solver in solvers.items()}
    return {**compiled, "scipy": lambda: linear_sum_assignment(cost)}


def main() -> None:
    options = arguments(__doc__ or "")
    size = 16 if options.quick else 256
    rows = []
    for name, cost in problems(size).items():
        got = medians(peers(cost), options.rounds or (3 if options.quick else 31))
        cells = [milliseconds(got[peer]) for peer in ("nablax", "base", "optax", "scipy")]
        rows.append([name, *cells, times(got["optax"] / got["nablax"])])
    header = ["costs", "nablax", "nablax, base", "Optax", "scipy", "faster than Optax by"]
    table(f"Assignment, {size} x {size}", header, rows)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
