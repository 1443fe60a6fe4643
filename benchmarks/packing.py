"""Many small leaves: packed states and flat parameters against a donated Optax loop and torch's fused AdamW.

python benchmarks/packing.py               1,000 leaves of (8, 8): most of an hour, mostly compiling; needs torch
python benchmarks/packing.py --leaves 150  fewer leaves: two minutes
python benchmarks/packing.py --steps       the optimizer's steps only: a minute
python benchmarks/packing.py --whole       whole training steps only
python benchmarks/packing.py --threshold   which leaves are worth packing: a minute
python benchmarks/packing.py --quick       a smoke check
"""

from __future__ import annotations

import argparse
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

import nablax
from harness import medians, table, times, where

RATE = 1e-3


def leaves(count: int, shape: tuple[int, ...]) -> list[jax.Array]:
    return [jnp.full(shape, 1 + k / count) for k in range(count)]


def optax_loop(tx: Any) -> Any:
    def loop(params: Any, state: Any, grads: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(loop, donate_argnums=(0, 1))


@functools.partial(jax.jit, donate_argnums=(0, 1), keep_unused=True)
def nothing(params: Any, state: Any, grads: Any) -> Any:
    """Takes what a step takes and gives back what it gives back."""
    return params, state


def torch_step(count: int, shape: tuple[int, ...]) -> Any:
    """A step of torch's fused AdamW with the gradients that are there."""
    import torch

    params = [torch.nn.Parameter(torch.full(shape, 1 + k / count)) for k in range(count)]
    for p in params:
        p.grad = 0.01 * p.detach()
    return torch.optim.AdamW(params, lr=RATE, fused=True).step


def steps(count: int, shape: tuple[int, ...], rounds: int, peers: tuple[str, ...]) -> tuple[dict, dict]:
    """Medians of a step, and seconds from nothing to the end of the first."""
    first: dict[str, float] = {}
    runs: dict[str, Any] = {}
    grads = jax.tree.map(lambda p: 0.01 * p, leaves(count, shape))
    jax.block_until_ready(grads)
    flat_grads = nablax.flat_params(grads)

    def optimizer(given: Any, params: Any, **options: Any) -> Any:
        opt = nablax.Optimizer(nablax.adamw(RATE), params, **options)
        return lambda: opt.step(given)

    def functional(tx: Any, loop: Any = None) -> Any:
        loop, held = loop or optax_loop(tx), [leaves(count, shape), tx.init(leaves(count, shape))]

        def run() -> Any:
            held[:] = loop(*held, grads)
            return held

        return run

    makers = {
        "Optax, donated": lambda: functional(optax.adamw(RATE)),
        "packed(adamw), donated": lambda: functional(nablax.packed(nablax.adamw(RATE))),
        "its arrays, and no step": lambda: functional(nablax.packed(nablax.adamw(RATE)), nothing),
        "Optimizer": lambda: optimizer(grads, leaves(count, shape)),
        "Optimizer(packed=True)": lambda: optimizer(grads, leaves(count, shape), packed=True),
        "Optimizer(flat_params)": lambda: optimizer(flat_grads, nablax.flat_params(leaves(count, shape))),
        "torch, fused": lambda: torch_step(count, shape),
    }
    for name in peers:
        start = time.perf_counter()
        runs[name] = makers[name]()
        jax.block_until_ready(runs[name]())
        first[name] = time.perf_counter() - start
    return medians(
        {k: (lambda f=f: jax.block_until_ready(f())) for k, f in runs.items()}, rounds, warmup=2
    ), first


def whole(count: int, shape: tuple[int, ...], rounds: int) -> tuple[dict, dict]:
    """Whole training steps: loss, gradient and AdamW in one program."""
    x = jnp.ones(shape[0])

    def loss(params: Any, x: Any) -> Any:
        return sum(jnp.sum(jnp.tanh(x @ p)) for p in params) / count

    tx, first, runs = optax.adamw(RATE), {}, {}

    def program(params: Any, state: Any, x: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    mine = nablax.adamw(RATE)
    for name, step, params, init in (
        ("Optax, donated", jax.jit(program, donate_argnums=(0, 1)), leaves(count, shape), tx.init),
        ("train_step", nablax.train_step(loss, mine), leaves(count, shape), mine.init),
        (
            "train_step(metrics=False)",
            nablax.train_step(loss, mine, metrics=False),
            leaves(count, shape),
            mine.init,
        ),
        (
            "train_step, flat",
            nablax.train_step(loss, mine),
            nablax.flat_params(leaves(count, shape)),
            mine.init,
        ),
    ):
        held = [params, init(params)]

        def run(step: Any = step, held: Any = held) -> Any:
            *held[:], value = step(*held, x)
            return value

        start = time.perf_counter()
        jax.block_until_ready(run())
        first[name] = time.perf_counter() - start
        runs[name] = lambda run=run, held=held: jax.block_until_ready((run(), held))
    flat, alone = nablax.flat_params(leaves(count, shape)), "loss and gradient alone, flat"
    gradient = jax.jit(jax.value_and_grad(lambda p, x: loss(p.tree, x)))
    start = time.perf_counter()
    jax.block_until_ready(gradient(flat, x))
    first[alone] = time.perf_counter() - start
    runs[alone] = lambda: jax.block_until_ready(gradient(flat, x))
    return medians(runs, rounds, warmup=2), first


def rows(got: dict, first: dict) -> list[list[str]]:
    base = got["Optax, donated"]
    return [
        [name, f"{1e3 * got[name]:.2f} ms", times(base / got[name]), f"{first[name]:.1f} s",
         times(first[name] / first["Optax, donated"])]
        for name in got
    ]  # fmt: skip


HEAD = ["", "a step", "faster than Optax", "first step", "of Optax's"]


def threshold(rounds: int, count: int = 250) -> None:
    """Leaves of one size, all of them packed, whatever the size."""
    optimizers, found = nablax.runtime._optimizer, []
    optimizers.packed_params = functools.partial(optimizers.packed_params, below=2**30)
    for size in (512, 1024, 2048, 4096, 8192):
        got, _ = steps(count, (size,), rounds, ("Optimizer", "Optimizer(packed=True)"))
        plain, packed = got["Optimizer"], got["Optimizer(packed=True)"]
        found.append([f"{size:,}", f"{1e3 * plain:.2f} ms", f"{1e3 * packed:.2f} ms", times(plain / packed)])
    table(f"{count} leaves of one size, AdamW", ["entries", "a step", "packed", "faster"], found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threshold", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--leaves", type=int, default=1000)
    args = parser.parse_args()
    count, rounds = (20, 3) if args.quick else (args.leaves, 21)
    if args.threshold:
        threshold(31)
        return
    peers = ("Optax, donated", "packed(adamw), donated", "its arrays, and no step", "Optimizer",
             "Optimizer(packed=True)", "Optimizer(flat_params)", "torch, fused")  # fmt: skip
    title = f"{count} leaves of (8, 8), AdamW"
    if not args.whole:
        table(f"{title}: the optimizer's step", HEAD, rows(*steps(count, (8, 8), rounds, peers)))
    if not args.steps:
        table(f"{title}: whole training steps", HEAD, rows(*whole(count, (8, 8), rounds)))
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
