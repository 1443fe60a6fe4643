"""Saving and loading a checkpoint: `CheckpointManager` with each of its backends against Orbax alone.

An Optimizer with AdamW's state in float32, so a third of the bytes are parameters. Training may go on when `save` is
back; Orbax then writes on. Orbax alone saves the same arrays with its own CheckpointManager.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

import nablax
from harness import arguments, milliseconds, table, where


class Ours:
    """A manager of ours; `make` gives an optimizer."""

    def __init__(self, folder, opt, backend):
        self.opt = opt
        self.manager = nablax.CheckpointManager(folder, keep=2, backend=backend)

    def save(self, step):
        self.manager.save(step, self.opt)

    def wait(self):
        self.manager.wait()

    def load(self):
        jax.block_until_ready(self.manager.restore(self.opt).params)


class Alone:
    """Orbax's own manager, with the arrays of an optimizer."""

    def __init__(self, folder, opt):
        self.tree = {"params": opt.params, "state": opt.state}
        self.manager = ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=2))

    def save(self, step):
        self.manager.save(step, args=ocp.args.StandardSave(self.tree))

    def wait(self):
        self.manager.wait_until_finished()

    def load(self):
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, self.tree)
        step = self.manager.latest_step()
        jax.block_until_ready(self.manager.restore(step, args=ocp.args.StandardRestore(abstract)))


def optimizer(megabytes):
    count = 20
    n = int(megabytes * 1e6 / 12 / count)
    params = {f"layer{i}": jax.random.normal(jax.random.key(i), (n // 100, 100)) for i in range(count)}
    opt = nablax.Optimizer(nablax.adamw(1e-3), params)
    opt.step(jax.tree.map(jnp.cos, opt.params))
    return opt


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    given = arguments(__doc__)
    rounds = given.rounds or (2 if given.quick else 7)
    rows = []
    for megabytes in (1,) if given.quick else (10, 100):
        root = Path(tempfile.mkdtemp())
        peers = {
            "nablax, files": Ours(root / "files", optimizer(megabytes), "files"),
            "nablax, orbax": Ours(root / "orbax", optimizer(megabytes), "orbax"),
            "Orbax alone": Alone(root / "alone", optimizer(megabytes)),
        }
        taken = {name: ([], [], []) for name in peers}
        for turn in range(rounds + 1):
            for name, peer in peers.items():
                back = timed(lambda peer=peer, turn=turn: peer.save(turn))
                done = back + timed(peer.wait)
                loaded = timed(peer.load)
                if turn:
                    for kept, value in zip(taken[name], (back, done, loaded), strict=True):
                        kept.append(value)
        for name in peers:
            rows.append([f"{megabytes} MB", name, *(milliseconds(statistics.median(x)) for x in taken[name])])
        shutil.rmtree(root)
    table("A checkpoint", ["size", "", "back from save", "on the disk", "load"], rows)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
