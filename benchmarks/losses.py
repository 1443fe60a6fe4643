"""Sparsemax on (4096, 1000) and CTC on (32, 200, 64), value and gradient, against Optax and torch (if installed).

    python benchmarks/losses.py [--quick]

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

import nablax.losses


def sparsemax_case(quick: bool) -> tuple[str, dict[str, Callable[[], Any]]]:
    rows, classes = (64, 100) if quick else (4096, 1000)
    scores = jax.random.normal(jax.random.key(0), (rows, classes))
    labels = jax.random.randint(jax.random.key(1), (rows,), 0, classes)

    def gradient(module: Any) -> Callable[[], Any]:
        f = jax.jit(jax.value_and_grad(lambda s: module.multiclass_sparsemax_loss(s, labels).mean()))
        return lambda: f(scores)

    return f"sparsemax ({rows}, {classes})", {
        "nablax": gradient(nablax.losses),
        "optax": gradient(optax.losses),
    }


def ctc_case(quick: bool) -> tuple[str, dict[str, Callable[[], Any]]]:
    batch, frames, classes, length = (4, 20, 8, 5) if quick else (32, 200, 64, 30)
    logits = jax.random.normal(jax.random.key(0), (batch, frames, classes))
    labels = jax.random.randint(jax.random.key(1), (batch, length), 1, classes)
    no_frames, no_labels = jnp.zeros((batch, frames)), jnp.zeros((batch, length))

    def gradient(module: Any) -> Callable[[], Any]:
        f = jax.jit(jax.value_and_grad(lambda x: module.ctc_loss(x, no_frames, labels, no_labels).mean()))
        return lambda: f(logits)

    peers = {"nablax": gradient(nablax.losses), "optax": gradient(optax.losses)}
    try:
        import torch
    except ImportError:
        return f"ctc ({batch}, {frames}, {classes})", peers

    x = torch.tensor(np.asarray(logits)).transpose(0, 1).contiguous().requires_grad_()
    y = torch.tensor(np.asarray(labels), dtype=torch.long)
    lengths = (torch.full((batch,), frames), torch.full((batch,), length))

    def torch_gradient() -> Any:
        x.grad = None
        torch.nn.functional.ctc_loss(x.log_softmax(-1), y, *lengths, reduction="none").mean().backward()
        return jnp.zeros(())

    peers["torch"] = torch_gradient
    return f"ctc ({batch}, {frames}, {classes})", peers


def medians(peers: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each peer; one call of each in turn, after a first that compiles."""
    times: dict[str, list[float]] = {name: [] for name in peers}
    for call in peers.values():
        jax.block_until_ready(call())
    for _ in range(repeats):
        for name, call in peers.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small shapes, seconds: a smoke check, no measurement"
    )
    quick = parser.parse_args().quick
    print("| case | nablax ms | optax ms | optax / nablax | torch ms |\n|---|---|---|---|---|")
    for case in (sparsemax_case, ctc_case):
        name, peers = case(quick)
        seconds = medians(peers, 3 if quick else 15)
        torch_ms = f"{1e3 * seconds['torch']:.2f}" if "torch" in seconds else "-"
        print(
            f"| {name}, value and gradient | {1e3 * seconds['nablax']:.2f} | {1e3 * seconds['optax']:.2f} "
            f"| {seconds['optax'] / seconds['nablax']:.2f} | {torch_ms} |"
        )


if __name__ == "__main__":
    main()
