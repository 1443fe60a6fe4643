"""AdamW's step where memory decides: 96 leaves of a transformer and one leaf of 2^25, beside Optax and plain memory.

python benchmarks/large_steps.py            about two minutes on two cores
python benchmarks/large_steps.py --quick    a smoke check

AdamW reads gradient, parameter and both moments and writes the last three: 28 bytes a parameter. The last column is the
bandwidth that this takes, over that of a donated `2 * p` in the same run (8 bytes a parameter). Then what norms cost.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

import nablax
from harness import arguments, medians, milliseconds, table, times, where


def transformer(width: int = 512, depth: int = 12) -> dict[str, dict[str, jax.Array]]:
    """Twelve blocks of eight leaves, 37.8 million parameters: attention, and a layer four times as wide."""
    square, wide = (width, width), (width, 4 * width)
    shapes = {"q": square, "k": square, "v": square, "o": square, "up": wide, "down": wide[::-1]}
    shapes |= {"scale": (width,), "shift": (width,)}
    return {f"block{i}": {k: jnp.full(s, 0.1) for k, s in shapes.items()} for i in range(depth)}


def donated(step: Any, given: tuple[Any, ...], *held: Any) -> Any:
    """Calls a function of `held`, which it gives back, donated, and of what else is given."""
    compiled, own = jax.jit(step, donate_argnums=tuple(range(len(held)))), list(jax.tree.map(jnp.copy, held))

    def run() -> Any:
        own[:] = compiled(*own, *given)
        return own

    return run


def optax_loop(params: Any, grads: Any, norms: bool) -> Any:
    """Optax's step with parameters and state donated in the order in which they come out: its fastest."""
    tx = optax.adamw(1e-3)

    def step(params: Any, state: Any, told: Any, grads: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        if norms:
            told = jnp.stack([optax.global_norm(tree) for tree in (grads, updates, params)])
        return params, state, told

    return donated(step, (grads,), params, tx.init(params), jnp.zeros(3))


def compare(title: str, peers: dict[str, Any], base: str, rounds: int, memory: Any = None) -> None:
    got = medians(peers if memory is None else {**peers, "memory": memory}, rounds, warmup=3)
    rows = [[name, milliseconds(got[name]), times(got[name] / got[base])] for name in peers]
    header = ["way", "a step", f"over {base}"]
    if memory is not None:
        header.append("share of the bandwidth")
        rows = [[*row, f"{28 / 8 * got['memory'] / got[row[0]]:.0%}"] for row in rows]
    table(title, header, rows)


def measure(title: str, params: Any, rounds: int) -> None:
    grads = jax.tree.map(lambda p: 0.1 * p, params)

    def stepper(tx: Any, **options: Any) -> Any:
        opt = nablax.Optimizer(tx, params, **options)
        return lambda: opt.step(grads)

    adamw = nablax.adamw(1e-3)
    title += f", {sum(p.size for p in jax.tree.leaves(params)) / 1e6:.1f}M parameters"
    peers = {"Optimizer": stepper(adamw), "Optax, fastest loop": optax_loop(params, grads, False)}
    double = donated(lambda tree: (jax.tree.map(lambda p: 2 * p, tree),), (), params)
    compare(title, peers, "Optimizer", rounds, double)
    peers = {
        "Optimizer": stepper(adamw),
        "Optimizer(metrics=True)": stepper(adamw, metrics=True),
        "with_metrics": stepper(nablax.with_metrics(adamw)),
        "with_metrics(per_leaf=True)": stepper(nablax.with_metrics(adamw, per_leaf=True)),
        "Optax with three global_norm": optax_loop(params, grads, True),
    }
    compare(f"{title}: what norms cost", peers, "Optimizer", max(2, rounds // 3))


def main() -> None:
    args = arguments(__doc__ or "")
    rounds = args.rounds or (2 if args.quick else 31)
    measure("AdamW, 96 leaves", transformer(32, 2) if args.quick else transformer(), rounds)
    measure("AdamW, one leaf", {"w": jnp.full(2**12 if args.quick else 2**25, 0.1)}, rounds)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
