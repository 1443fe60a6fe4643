"""Sharded states on eight forced CPU devices: bytes on each, step time, and matrices dealt whole against plain GSPMD.

The devices share the machine's cores, so times tell what the arithmetic and the copies cost together, not what a
network would.

python benchmarks/sharding.py                 four tables, a few minutes
python benchmarks/sharding.py --only muon     one of them: state, muon, shapes or galore
"""

from __future__ import annotations

import contextlib
import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import nablax
from harness import arguments, medians, milliseconds, table, where
from hlo import collectives
from nablax.runtime import _sharding


def on_one(tree):
    device = jax.devices()[0]
    return sum(
        s.data.nbytes for x in jax.tree.leaves(tree) for s in x.addressable_shards if s.device == device
    )


class Step:
    """A compiled update of parameters that every device has; called, it steps once."""

    def __init__(self, tx, params, mesh, dealt=True):
        self.params = jax.device_put(jax.tree.map(jnp.copy, params), NamedSharding(mesh, P()))
        self.state = tx.init(self.params)

        def step(params, state):
            updates, state = tx.update(params, state, params)
            return nablax.apply_updates(params, updates), state

        with contextlib.nullcontext() if dealt else plain():
            self.compiled = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state).compile()

    def __call__(self):
        self.params, self.state = self.compiled(self.params, self.state)
        return self.params


@contextlib.contextmanager
def plain():
    """Leaves matrices to the compiler's partitioner."""
    layout = _sharding.Layout
    kept = layout.dealing
    layout.dealing = lambda self: contextlib.nullcontext()
    try:
        yield
    finally:
        layout.dealing = kept


PARTS = ("state", "muon", "shapes", "galore")


def states(mesh, n, rounds):
    """AdamW: bytes of its state, and an update."""
    params = [jax.random.normal(jax.random.key(i), (n, n)) for i in range(16)]
    tx = nablax.adamw(1e-3)
    steps = {
        "replicated": Step(tx, params, mesh),
        "shard_state": Step(nablax.shard_state(tx, mesh), params, mesh),
    }
    taken = medians(steps, rounds)
    table(
        f"AdamW, {16 * n * n / 1e6:.1f} million parameters",
        ["", "state on each device", "an update"],
        [
            [name, f"{on_one(step.state) / 1e6:.2f} MB", milliseconds(taken[name])]
            for name, step in steps.items()
        ],
    )


def matrices(name, tx, mesh, shapes, rounds):
    """What looks at whole matrices: replicated, as the partitioner does it, and dealt whole to the devices."""
    params = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]
    sharded = nablax.shard_state(tx, mesh)
    steps = {
        "replicated": Step(tx, params, mesh),
        "plain GSPMD": Step(sharded, params, mesh, dealt=False),
        "dealt whole": Step(sharded, params, mesh),
    }
    taken, rows = medians(steps, rounds), []
    for how, step in steps.items():
        read = collectives(step.compiled.as_text())
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(read.count.items())) or "none"
        rows.append([how, kinds, f"{sum(read.sent.values()) / 1e6:.2f} MB", milliseconds(taken[how])])
    table(
        f"{name}, {_said(shapes)}, {sum(4 * x.size for x in params) / 1e6:.2f} MB",
        ["", "collectives", "sent by a device", "an update"],
        rows,
    )


def _said(shapes):
    first, last = (" x ".join(map(str, shape)) for shape in (shapes[0], shapes[-1]))
    return f"{len(shapes)} matrices of {first}" + ("" if first == last else f" to {last}, all different")


def main() -> None:
    given = arguments(__doc__, PARTS)
    rounds = given.rounds or (3 if given.quick else 15)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    parts = given.only or PARTS
    n = 64 if given.quick else 256
    same, different = [(n, 2 * n)] * 16, [(n + n // 16 * k, n) for k in range(16)]
    if "state" in parts:
        states(mesh, 4 * n, rounds)
    if "muon" in parts:
        matrices("Muon", nablax.muon(1e-3), mesh, same, rounds)
    if "shapes" in parts:
        matrices("Muon", nablax.muon(1e-3), mesh, different, rounds)
    if "galore" in parts:
        smaller = [(n // 2, n)] * 16  # a decomposition takes long, and "replicated" is 128 of them
        matrices("GaLore", nablax.galore(1e-3, rank=16, update_proj_gap=1), mesh, smaller, min(rounds, 3))
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
