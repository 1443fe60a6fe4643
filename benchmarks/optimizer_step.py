"""AdamW: the compiled step, the eager update, tracing and lowering, against Optax.

python benchmarks/optimizer_step.py            about four minutes on two cores
python benchmarks/optimizer_step.py --quick    a smoke check
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

import nablax
from harness import arguments, medians, milliseconds, seconds, table, times, where
from nablax.core import apply_updates
from nablax.optimizers import adamw

RATE = 1e-3


def resnet_like() -> list[jax.Array]:
    """159 leaves, 5.9 million parameters: kernels, scales and shifts."""
    leaves = []
    for count, shape in ((24, (3, 3, 64, 64)), (26, (3, 3, 128, 128)), (3, (3, 3, 196, 224))):
        for _ in range(count):
            leaves += [jnp.ones(shape), jnp.ones(shape[-1]), jnp.zeros(shape[-1])]
    return leaves


def small_leaves(count: int = 1000) -> list[jax.Array]:
    return [jnp.ones((8, 8)) for _ in range(count)]


def compiled_step(size: int, rounds: int) -> list[list[str]]:
    """One leaf: `Optimizer.step` against two ways to donate an Optax step."""
    grads = jnp.full(size, 1e-2)
    tx = optax.adamw(RATE)

    def lined_up(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def usual(grads, state, params):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    best = jax.jit(lined_up, donate_argnums=(0, 1))
    habit = jax.jit(usual, donate_argnums=(1, 2))
    held = {
        "best": (jnp.ones(size), tx.init(jnp.ones(size))),
        "habit": (jnp.ones(size), tx.init(jnp.ones(size))),
    }
    opt = nablax.Optimizer(adamw(RATE), jnp.ones(size))

    def run_best():
        held["best"] = best(*held["best"], grads)
        return held["best"]

    def run_habit():
        params, state = held["habit"]
        held["habit"] = habit(grads, state, params)
        return held["habit"]

    got = medians({"ours": lambda: opt.step(grads), "best": run_best, "habit": run_habit}, rounds, warmup=3)
    ours = got["ours"]
    return [
        ["nablax.Optimizer.step", milliseconds(ours), "1.00x", ""],
        ["Optax, lined up (fastest)", milliseconds(got["best"]), times(got["best"] / ours), ">= 1.00x"],
        ["Optax, donate_argnums=(1, 2)", milliseconds(got["habit"]), times(got["habit"] / ours), ">= 3.50x"],
    ]


def eager(name: str, params: list[jax.Array], rounds: int) -> list[list[str]]:
    """`tx.update` outside jit, in the steady state and for the first time."""
    grads = [jnp.full_like(p, 1e-2) for p in params]

    def updater(tx):
        state = tx.init(params)

        def run():
            nonlocal state
            updates, state = tx.update(grads, state, params)
            return updates, state

        return run

    makers = {"ours": lambda: adamw(RATE), "optax": lambda: optax.adamw(RATE)}
    steady = medians({k: updater(make()) for k, make in makers.items()}, rounds, warmup=2)
    first: dict[str, list[float]] = {k: [] for k in makers}
    for _ in range(max(1, rounds // 4)):
        for k, make in makers.items():
            run = updater(make())
            jax.clear_caches()
            first[k].append(seconds(run))
    cold = {k: sorted(v)[len(v) // 2] for k, v in first.items()}
    return [
        [
            name,
            what,
            milliseconds(got["ours"]),
            milliseconds(got["optax"]),
            times(got["optax"] / got["ours"]),
            goal,
        ]
        for what, got, goal in (("steady", steady, ">= 6x"), ("first call", cold, ">= 4x"))
    ]


def tracing(params: list[jax.Array], rounds: int) -> list[list[str]]:
    """Tracing, lowering and compiling a step of many leaves."""

    def stepper(tx, apply):
        def step(params, state, grads):
            updates, state = tx.update(grads, state, params)
            return apply(params, updates), state

        return step

    peers = {
        "ours": (adamw(RATE), apply_updates),
        "optax": (optax.adamw(RATE), optax.apply_updates),
    }
    lower: dict[str, list[float]] = {k: [] for k in peers}
    build: dict[str, list[float]] = {k: [] for k in peers}
    for turn in range(rounds + 1):
        for k, (tx, apply) in peers.items():
            state = tx.init(params)
            jax.clear_caches()
            spent = seconds(lambda: jax.jit(stepper(tx, apply)).lower(params, state, params) and None)  # noqa: B023
            if turn:
                lower[k].append(spent)
            if turn == rounds:
                lowered = jax.jit(stepper(tx, apply)).lower(params, state, params)
                build[k].append(seconds(lambda: lowered.compile() and None))  # noqa: B023
    rows = []
    for what, taken, goal in (("trace and lower", lower, ">= 4x"), ("compile", build, "")):
        got = {k: sorted(v)[len(v) // 2] for k, v in taken.items()}
        rows.append(
            [
                what,
                milliseconds(got["ours"]),
                milliseconds(got["optax"]),
                times(got["optax"] / got["ours"]),
                goal,
            ]
        )
    return rows


def main() -> None:
    args = arguments(__doc__ or "")
    rounds = args.rounds or (2 if args.quick else 21)
    size = 2**16 if args.quick else 2**25
    many = small_leaves(20 if args.quick else 1000)
    table(
        f"AdamW step, one leaf of {size} float32",
        ["way", "a step", "ours is faster by", "goal"],
        compiled_step(size, rounds),
    )
    rows = eager("159 leaves, 5.9M parameters", resnet_like()[: 6 if args.quick else None], rounds)
    rows += eager(f"{len(many)} leaves of (8, 8)", many, rounds)
    table("Eager AdamW update", ["leaves", "", "nablax", "Optax", "ours is faster by", "goal"], rows)
    table(
        f"AdamW step on {len(many)} leaves of (8, 8)",
        ["", "nablax", "Optax", "ours is faster by", "goal"],
        tracing(many, 1 if args.quick else 5),
    )
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
