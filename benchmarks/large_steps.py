"""AdamW's step where memory decides: 96 leaves of a transformer and one leaf of 2^25, beside Optax and plain memory.

python benchmarks/large_steps.py             about two minutes on two cores
python benchmarks/large_steps.py --part N    one of its four tables, 1 to 4
python benchmarks/large_steps.py --quick     a smoke check

AdamW reads gradient, parameter and both moments and writes the last three: 28 bytes a parameter. The last column is the
bandwidth that this takes, over that of a donated `2 * p` in the same run (8 bytes a parameter). Then what norms cost.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import optax

import nablax
from harness import medians, milliseconds, table, times, where


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


def steppers(params: Any, ways: dict[str, Any]) -> dict[str, Any]:
    """A step of each way to make an `Optimizer`, on gradients of the parameters' size."""
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    made = {name: way(params) for name, way in ways.items()}
    return {name: (lambda o=opt: o.step(grads)) for name, opt in made.items()}


def adamw(params: Any, **options: Any) -> Any:
    return nablax.Optimizer(nablax.adamw(1e-3), params, **options)


def measured(params: Any, **options: Any) -> Any:
    return nablax.Optimizer(nablax.with_metrics(nablax.adamw(1e-3), **options), params)


def speed(title: str, params: Any, rounds: int) -> None:
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    peers = steppers(params, {"Optimizer": adamw})
    peers["Optax, fastest loop"] = optax_loop(params, grads, False)
    double = donated(lambda tree: (jax.tree.map(lambda p: 2 * p, tree),), (), params)
    compare(title, peers, "Optimizer", rounds, double)


def norms(title: str, params: Any, rounds: int) -> None:
    """Steps without norms come in rows of 99 where every hundredth has them; the last column is the mean of 100."""
    now, rarely = {"metrics": True}, {"metrics": True, "every": 100}
    ways = {
        "Optimizer": adamw,
        "Optimizer(metrics=True)": lambda p: adamw(p, **now),
        "Optimizer(metrics=True, every=100)": lambda p: adamw(p, **rarely),
        "with_metrics": measured,
        "with_metrics(every=100)": lambda p: measured(p, every=100),
        "with_metrics(per_leaf=True)": lambda p: measured(p, per_leaf=True),
        "with_metrics(per_leaf=True, every=100)": lambda p: measured(p, per_leaf=True, every=100),
    }
    peers = steppers(params, ways)
    peers["Optax with three global_norm"] = optax_loop(params, jax.tree.map(lambda p: 0.1 * p, params), True)
    got = medians(peers, min(rounds, 80), warmup=3)
    rows = []
    for name in peers:
        each = got[name] / got["Optimizer"]
        always = name.replace(", every=100", "").replace("(every=100)", "")
        mean = (99 * each + got[always] / got["Optimizer"]) / 100
        rows.append([name, milliseconds(got[name]), times(each), times(mean)])
    table(f"{title}: what norms cost", ["way", "a step", "over Optimizer", "mean of 100 steps"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: a smoke check")
    parser.add_argument("--rounds", type=int, default=None, help="turns of each peer")
    parser.add_argument("--part", type=int, choices=range(1, 5), help="one table of the four")
    args = parser.parse_args()
    rounds = args.rounds or (2 if args.quick else 31)
    part = 0
    for name, params in (
        ("AdamW, 96 leaves", lambda: transformer(32, 2) if args.quick else transformer()),
        ("AdamW, one leaf", lambda: {"w": jnp.full(2**12 if args.quick else 2**25, 0.1)}),
    ):
        for run, turns in ((speed, rounds), (norms, max(2, rounds // 3))):
            part += 1
            if args.part in (None, part):
                made = params()
                millions = sum(p.size for p in jax.tree.leaves(made)) / 1e6
                run(f"{name}, {millions:.1f}M parameters", made, turns)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
