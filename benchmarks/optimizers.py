"""Seven optimizers on three trees against Optax: the compiled step, tracing, lowering and compiling, as ratios.

    python benchmarks/optimizers.py            about twelve minutes on two cores
    python benchmarks/optimizers.py --quick    a smoke check

A ratio is Optax's time over nablax's: above 1, nablax is faster. Peers take turns within one run.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from harness import arguments, medians, milliseconds, table, times, where
from nablax import optimizers as o
from nablax.core import apply_updates

RATE = 1e-3
TRACES = 3
FEW = 120  # small matrices for Muon: Optax's program for 1,000 compiles for minutes
PAIRS: dict[str, tuple[Any, Any]] = {
    "sgd+momentum": (o.sgd(RATE, momentum=0.9), optax.sgd(RATE, momentum=0.9)),
    "adam": (o.adam(RATE), optax.adam(RATE)),
    "adamw": (o.adamw(RATE), optax.adamw(RATE)),
    "lion": (o.lion(RATE), optax.lion(RATE)),
    "adafactor": (o.adafactor(RATE), optax.adafactor(RATE)),
    "lamb": (o.lamb(RATE), optax.lamb(RATE)),
    "muon": (o.muon(RATE), contrib.muon(RATE)),
}


def small_leaves(count: int) -> list[tuple[int, ...]]:
    return [(8, 8)] * count


def resnet_like(scale: int) -> list[tuple[int, ...]]:
    """159 leaves: kernels, scales and shifts."""
    shapes: list[tuple[int, ...]] = []
    for count, shape in ((24, (3, 3, 64, 64)), (26, (3, 3, 128, 128)), (3, (3, 3, 196, 224))):
        *window, inputs, outputs = shape
        kernel = (*window, inputs // scale, outputs // scale)
        shapes += [kernel, (kernel[-1],), (kernel[-1],)] * count
    return shapes


def transformer(scale: int) -> list[tuple[int, ...]]:
    """96 leaves: eight blocks of attention, a feed-forward layer and two normalisations."""
    d = 256 // scale
    block = [(d, d)] * 4 + [(d, 4 * d), (4 * d, d), (4 * d,), (d,), (d,), (d,), (d,), (d,)]
    return [shape for _ in range(8) for shape in block]


def filled(shapes: list[tuple[int, ...]], value: float) -> list[jax.Array]:
    return [jnp.full(shape, value) + 1e-3 * jnp.arange(shape[-1]) for shape in shapes]


def step_of(tx: Any, apply: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return apply(params, updates), state

    return step


class Peer:
    """One library's step on one tree: how long tracing, lowering and compiling take, and the compiled step."""

    def __init__(self, tx: Any, apply: Callable[[Any, Any], Any], shapes: list[tuple[int, ...]]) -> None:
        self.tx, self.apply = tx, apply
        self.params, self.grads = filled(shapes, 0.5), filled(shapes, 1e-2)
        self.state = tx.init(self.params)
        self.traces: list[float] = []
        self.lowerings: list[float] = []

    def trace(self) -> None:
        jax.clear_caches()
        start = time.perf_counter()
        jitted = jax.jit(step_of(self.tx, self.apply), donate_argnums=(0, 1))
        traced = jitted.trace(self.params, self.state, self.grads)
        between = time.perf_counter()
        self.lowered = traced.lower()
        self.traces.append(between - start)
        self.lowerings.append(time.perf_counter() - between)

    def compile(self) -> float:
        start = time.perf_counter()
        self.compiled = self.lowered.compile()
        return time.perf_counter() - start

    def run(self) -> Any:
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params


def compare(name: str, shapes: list[tuple[int, ...]], rounds: int) -> list[str]:
    ours, theirs = PAIRS[name]
    peers = {"nablax": Peer(ours, apply_updates, shapes), "optax": Peer(theirs, optax.apply_updates, shapes)}
    for _ in range(TRACES):
        for peer in peers.values():
            peer.trace()
    stages = [
        {who: statistics.median(taken(peer)) for who, peer in peers.items()}
        for taken in (lambda peer: peer.traces, lambda peer: peer.lowerings)
    ]
    stages.append({who: peer.compile() for who, peer in peers.items()})
    spent = medians({who: peer.run for who, peer in peers.items()}, rounds)
    row = [
        milliseconds(spent["nablax"]),
        milliseconds(spent["optax"]),
        times(spent["optax"] / spent["nablax"]),
    ]
    for stage in stages:
        row += [milliseconds(stage["nablax"]), times(stage["optax"] / stage["nablax"])]
    return row


def main() -> None:
    options = arguments(__doc__ or "")
    quick = options.quick
    rounds = options.rounds or (2 if quick else 50)
    jax.config.update("jax_enable_compilation_cache", False)
    cases = {
        "(a) 1,000 leaves of (8, 8)": small_leaves(4 if quick else 1000),
        "(b) 159 ResNet-like leaves": resnet_like(16 if quick else 1)[: 3 if quick else None],
        "(c) 96 transformer leaves": transformer(16 if quick else 1)[: 3 if quick else None],
    }
    header = ["optimizer", "step", "Optax", "ratio"]
    header += [word for stage in ("trace", "lower", "compile") for word in (stage, "ratio")]
    for title, shapes in cases.items():
        title = f"{title}; here the first {len(shapes)}, tiny" if quick else title
        rows = []
        for name in PAIRS:
            few = shapes[:FEW] if name == "muon" and title.startswith("(a)") else shapes
            label = name if few is shapes else f"{name}, {len(few)} leaves"
            rows.append([label, *compare(name, few, rounds)])
            print(".", end="", file=sys.stderr, flush=True)
        table(title, header, rows)
    print(f"\nA ratio above 1: nablax is faster. {where()}")


if __name__ == "__main__":
    main()
