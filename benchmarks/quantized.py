"""Quantised states: what a step of AdamW costs beside the plain one, and the bytes of its state.

python benchmarks/quantized.py                 two leaves of 2^20, and of 2^23; two minutes on two cores
python benchmarks/quantized.py --only small    or large, one of the two
python benchmarks/quantized.py --quick         a smoke check
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp

import nablax
from harness import arguments, medians, milliseconds, table, times, where

WAYS = {
    "plain": lambda tx: tx,
    "8 bits": nablax.quantize_state,
    "8 bits, stochastic": lambda tx: nablax.quantize_state(tx, stochastic=True),
    "4 bits": lambda tx: nablax.quantize_state(tx, 4),
    "4 bits, nearest": lambda tx: nablax.quantize_state(tx, 4, stochastic=False),
}


SIZES = {"small": (1024, 201), "large": (8192, 41)}


def measure(rows: int, rounds: int) -> None:
    params = {"a": jnp.full((rows, 1024), 0.1), "b": jnp.full((4 * rows, 256), 0.1)}
    keys = dict(zip(params, jax.random.split(jax.random.key(0)), strict=True))
    grads = {k: jax.random.normal(keys[k], p.shape) for k, p in params.items()}
    size = sum(p.size for p in params.values())
    opts: dict[str, Any] = {
        name: nablax.Optimizer(way(nablax.adamw(1e-3)), params) for name, way in WAYS.items()
    }
    peers = {name: (lambda o=opt: o.step(grads)) for name, opt in opts.items()}
    wall = medians(peers, rounds, warmup=2)
    cpu = medians(peers, rounds, clock=time.process_time)
    table(
        f"A step of AdamW, {size} parameters",
        ["state", "bytes a parameter", "a step", "of plain", "processor time", "of plain"],
        [
            [
                name,
                f"{sum(x.nbytes for x in jax.tree.leaves(opt.state)) / size:.2f}",
                milliseconds(wall[name]),
                times(wall[name] / wall["plain"]),
                milliseconds(cpu[name]),
                times(cpu[name] / cpu["plain"]),
            ]
            for name, opt in opts.items()
        ],
    )


def main() -> None:
    args = arguments(__doc__ or "", parts=tuple(SIZES))
    for name in args.only or SIZES:
        rows, rounds = SIZES[name]
        measure(64 if args.quick else rows, 3 if args.quick else args.rounds or rounds)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
