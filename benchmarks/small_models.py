"""What a small model feels: constructing an optimizer, a step of four small leaves, the first step, and peak memory.

python benchmarks/small_models.py            about two minutes on two cores
python benchmarks/small_models.py --quick    a smoke check
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

import nablax
from harness import medians, table, times, where

RATE = 1e-3
SHAPES = {"w1": (8, 8), "b1": (8,), "w2": (8, 4), "b2": (4,)}
BATCH = 50  # steps timed together: short turns, because a machine's speed wanders within a second


def params() -> dict[str, jax.Array]:
    return {name: jnp.ones(shape) for name, shape in SHAPES.items()}


def loss(p: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.mean((jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]) ** 2)


def constructing(rounds: int) -> list[list[str]]:
    rows = []
    for name, ours, theirs in (
        ("adam(1e-3)", lambda: nablax.adam(RATE), lambda: optax.adam(RATE)),
        ("adamw(1e-3, weight_decay=0.1)", lambda: nablax.adamw(RATE, weight_decay=0.1),
         lambda: optax.adamw(RATE, weight_decay=0.1)),
    ):  # fmt: skip

        def many(make: Any) -> Any:
            def run() -> None:
                for _ in range(200):
                    make()

            return run

        got = medians({"ours": many(ours), "optax": many(theirs)}, rounds, warmup=2)
        rows.append([name, *(f"{1e6 * got[k] / 200:.1f} us" for k in ("ours", "optax")), "<= 50 us"])
    return rows


def small_steps(rounds: int) -> list[list[str]]:
    tx, x = optax.adamw(RATE), jnp.ones((16, 8))
    grads = jax.tree.map(lambda p: 0.01 * p, params())

    def loop(p: Any, s: Any, g: Any) -> Any:
        updates, s = tx.update(g, s, p)
        return optax.apply_updates(p, updates), s

    def whole(p: Any, s: Any, x: Any) -> Any:
        value, g = jax.value_and_grad(loss)(p, x)
        return *loop(p, s, g), value

    optax_loop, optax_step = jax.jit(loop, donate_argnums=(0, 1)), jax.jit(whole, donate_argnums=(0, 1))
    held: dict[str, Any] = {k: (params(), tx.init(params())) for k in ("loop", "step")}
    opt = nablax.Optimizer(nablax.adamw(RATE), params())
    mine = nablax.adamw(RATE)
    ours = nablax.train_step(loss, mine, metrics=False)
    held["ours"] = (params(), mine.init(params()))

    def run_loop() -> None:
        for _ in range(BATCH):
            held["loop"] = optax_loop(*held["loop"], grads)
        jax.block_until_ready(held["loop"])

    def run_opt() -> None:
        for _ in range(BATCH):
            opt.step(grads)
        jax.block_until_ready(opt.params)

    def run_step() -> None:
        for _ in range(BATCH):
            *held["step"], _ = optax_step(*held["step"], x)
        jax.block_until_ready(held["step"])

    def run_ours() -> None:
        for _ in range(BATCH):
            *held["ours"], _ = ours(*held["ours"], x)
        jax.block_until_ready(held["ours"])

    got = medians({"loop": run_loop, "opt": run_opt, "step": run_step, "ours": run_ours}, rounds, warmup=2)
    us = {k: f"{1e6 * v / BATCH:.0f} us" for k, v in got.items()}
    return [
        [
            "a donated Optax loop",
            us["loop"],
            "Optimizer.step",
            us["opt"],
            times(got["opt"] / got["loop"]),
            "<= 1.05x",
        ],
        [
            "its whole train step",
            us["step"],
            "train_step",
            us["ours"],
            times(got["ours"] / got["step"]),
            "<= 1.05x",
        ],
    ]


def first_steps(rounds: int) -> list[list[str]]:
    """The first step and the twenty after it, each in a program that was not compiled before."""
    grads = jax.tree.map(lambda p: 0.01 * p, params())

    def theirs() -> Any:
        tx = optax.adamw(RATE)
        step = jax.jit(lambda p, s, g: (lambda u, s: (optax.apply_updates(p, u), s))(*tx.update(g, s, p)))
        p, s = params(), tx.init(params())
        for _ in range(20):
            p, s = step(p, s, grads)
        return p

    def ours() -> Any:
        opt = nablax.Optimizer(nablax.adamw(RATE), params())
        for _ in range(20):
            opt.step(grads)
        return opt.params

    peers = {"ours": ours, "optax": theirs}
    taken: dict[str, list[float]] = {k: [] for k in peers}
    for turn in range(rounds):
        for k in sorted(peers, reverse=bool(turn % 2)):
            jax.clear_caches()
            if k == "ours":
                nablax.runtime.clear_programs()
            start = time.perf_counter()
            jax.block_until_ready(peers[k]())
            taken[k].append(time.perf_counter() - start)
    got = {k: statistics.median(v) for k, v in taken.items()}
    return [["20 steps from nothing", *(f"{got[k]:.3f} s" for k in peers), times(got["ours"] / got["optax"])]]


def peak(way: str, size: int) -> float:
    """Peak memory of a process that makes two steps, in GiB."""
    code = f"import small_models as m; m.two_steps({way!r}, {size})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=__file__.rpartition("/")[0],
    )
    return float(done.stdout.split()[-1]) / 2**20


def two_steps(way: str, size: int) -> None:
    p = jnp.ones(size)
    if way == "nothing":
        p.block_until_ready()
    elif way == "optax":
        tx = optax.adamw(RATE)
        s = tx.init(p)

        def step(p: Any, s: Any) -> Any:
            updates, s = tx.update(p * 0.01, s, p)
            return optax.apply_updates(p, updates), s

        run = jax.jit(step, donate_argnums=(0, 1))
        for _ in range(2):
            p, s = run(p, s)
        p.block_until_ready()
    else:
        opt = nablax.Optimizer(nablax.adamw(RATE), p, take=way == "take")
        if way == "take":
            del p
        grad = jax.jit(lambda p: p * 0.01)
        for _ in range(2):
            opt.step(grad(opt.params))
        opt.params.block_until_ready()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def memory(size: int) -> list[list[str]]:
    """The gradient is an array of its own in our loop, as in a user's, and part of the program in Optax's."""
    found = {way: peak(way, size) for way in ("nothing", "optax", "owned", "take")}
    copy = 4 * size / 2**30
    return [
        ["Optax, donated", f"{found['optax']:.2f} GiB", ""],
        ["Optimizer", f"{found['owned']:.2f} GiB", f"<= {found['optax'] + 2 * copy:.2f} GiB"],
        ["Optimizer(take=True)", f"{found['take']:.2f} GiB", f"<= {found['optax'] + copy:.2f} GiB"],
        ["the parameters alone", f"{found['nothing']:.2f} GiB", ""],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    rounds = 3 if args.quick else 21
    table("Constructing", ["", "nablax", "Optax", "goal"], constructing(rounds))
    table(
        "Four small leaves, AdamW",
        ["Optax", "a step", "nablax", "a step", "of Optax's", "goal"],
        small_steps(30 * rounds),
    )
    table("First steps", ["", "nablax", "Optax", "of Optax's"], first_steps(rounds))
    table(
        "Peak memory, AdamW of 100 million parameters",
        ["", "peak", "goal"],
        memory(10**5 if args.quick else 10**8),
    )
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
