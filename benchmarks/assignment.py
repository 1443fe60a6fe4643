"""The assignment problem on 256 x 256, against Optax and scipy.

    python benchmarks/assignment.py [--quick]

All peers are interleaved in one run; the table holds medians and the ratio Optax / nablax (above 1: nablax is faster).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import linear_sum_assignment

import nablax.assignment


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
    ours, base = (
        jax.jit(nablax.assignment.hungarian_algorithm),
        jax.jit(nablax.assignment.base_hungarian_algorithm),
    )
    theirs = jax.jit(optax.assignment.hungarian_algorithm)
    return {
        "nablax": lambda: ours(array),
        "nablax base": lambda: base(array),
        "optax": lambda: theirs(array),
        "scipy": lambda: linear_sum_assignment(cost),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small shapes, seconds: a smoke check, no measurement"
    )
    quick = parser.parse_args().quick
    size, repeats = (16, 3) if quick else (256, 15)
    print(
        "| costs | nablax ms | nablax base ms | optax ms | optax / nablax | scipy ms |\n|---|---|---|---|---|---|"
    )
    for name, cost in problems(size).items():
        calls = peers(cost)
        times: dict[str, list[float]] = {peer: [] for peer in calls}
        for call in calls.values():
            jax.block_until_ready(call())
        for _ in range(repeats):
            for peer, call in calls.items():
                start = time.perf_counter()
                jax.block_until_ready(call())
                times[peer].append(time.perf_counter() - start)
        ms = {peer: 1e3 * statistics.median(values) for peer, values in times.items()}
        print(
            f"| {name} {size} x {size} | {ms['nablax']:.2f} | {ms['nablax base']:.2f} | {ms['optax']:.2f} "
            f"| {ms['optax'] / ms['nablax']:.2f} | {ms['scipy']:.2f} |"
        )


if __name__ == "__main__":
    main()
