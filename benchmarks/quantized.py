"""Quantised states: what a step costs beside the plain one, and the bytes of its state.

python benchmarks/quantized.py                 all of it; four minutes on two cores
python benchmarks/quantized.py --only small    two leaves of 2^20 entries; or large (2^23), shapes, jitted
python benchmarks/quantized.py --quick         a smoke check
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
# No dimension of some is a power of two, of others none has a good divisor.
SHAPES = [
    (1000, 1000), (1300, 784), (640, 1600), (200, 5504), (3, 3, 256, 448), (3, 3, 256, 512), (500, 2047), (64, 12_569),
    (100_000, 10), (1_000_000,),
]  # fmt: skip
RULES = {
    "adamw": lambda: nablax.adamw(1e-3),
    "lion": lambda: nablax.lion(1e-3),
    "sgd with momentum": lambda: nablax.sgd(1e-3, momentum=0.9),
}
# What nablax compiles its own steps with.
OPTIONS = {"xla_cpu_copy_insertion_use_region_analysis": True, "xla_cpu_prefer_vector_width": 512}


def two_leaves(rows: int) -> dict[str, tuple[int, ...]]:
    return {"a": (rows, 1024), "b": (4 * rows, 256)}


def start(shapes: dict[str, tuple[int, ...]]) -> tuple[Any, Any]:
    """Parameters and gradients."""
    keys = dict(zip(shapes, jax.random.split(jax.random.key(0), len(shapes)), strict=True))
    grads = {k: jax.random.normal(keys[k], shape) for k, shape in shapes.items()}
    return {k: jnp.full(shape, 0.1) for k, shape in shapes.items()}, grads


def jitted(tx: Any, shapes: Any, **options: Any) -> Callable[[], Any]:
    """A step that the user compiles."""
    params, grads = start(shapes)
    held = [params, tx.init(params)]

    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return nablax.apply_updates(params, updates), state

    compiled = jax.jit(step, **options)

    def run() -> Any:
        held[:] = compiled(*held, grads)
        return held[0]

    return run


def sizes(name: str, quick: bool, rounds: int | None) -> None:
    rows, turns = SIZES[name]
    params, grads = start(two_leaves(64 if quick else rows))
    size = sum(p.size for p in params.values())
    opts: dict[str, Any] = {
        name: nablax.Optimizer(way(RULES["adamw"]()), params) for name, way in WAYS.items()
    }
    peers = {name: (lambda o=opt: o.step(grads)) for name, opt in opts.items()}
    turns = 3 if quick else rounds or turns
    wall = medians(peers, turns, warmup=2)
    cpu = medians(peers, turns, clock=time.process_time)
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


def shapes(quick: bool, rounds: int | None) -> None:
    rows = []
    for rule, make in RULES.items():
        for shape in SHAPES:
            params, grads = start({"w": (64,) if quick else shape})
            peers = {}
            for name, way in WAYS.items():
                opt: Any = nablax.Optimizer(way(make()), params)
                peers[name] = lambda o=opt, g=grads: o.step(g)
            wall = medians(peers, 3 if quick else rounds or 61, warmup=3)
            plain = wall.pop("plain")
            rows.append(
                [rule, str(shape), milliseconds(plain), *[times(spent / plain) for spent in wall.values()]]
            )
    table("Other shapes and rules: of the plain step", ["rule", "shape", *WAYS], rows)


def compiled_by_the_user(quick: bool, rounds: int | None) -> None:
    leaves = two_leaves(64 if quick else 1024)
    rows = []
    for name, options in {
        "jit(step)": {},
        "donate_argnums=(0, 1)": {"donate_argnums": (0, 1)},
        "and compiler_options": {"donate_argnums": (0, 1), "compiler_options": OPTIONS},
    }.items():
        peers = {way: jitted(make(RULES["adamw"]()), leaves, **options) for way, make in WAYS.items()}
        wall = medians(peers, 3 if quick else rounds or 101, warmup=3)
        plain = wall.pop("plain")
        rows.append([name, milliseconds(plain), *[times(spent / plain) for spent in wall.values()]])
    table("A step that the user compiles: of the plain step", ["step", *WAYS], rows)


def main() -> None:
    parts = (*SIZES, "shapes", "jitted")
    args = arguments(__doc__ or "", parts=parts)
    for name in args.only or parts:
        if name in SIZES:
            sizes(name, args.quick, args.rounds)
        else:
            {"shapes": shapes, "jitted": compiled_by_the_user}[name](args.quick, args.rounds)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
