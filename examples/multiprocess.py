"""Data parallel in several processes, with a state that is spread over them and checkpoints that survive a kill.

    nablax launch --processes 2 -- examples/multiprocess.py --dir run
    nablax launch --processes 2 --restarts 2 -- examples/multiprocess.py --dir run --kill 1@7 --kill 0@13

The second line kills rank 1 at step 7, and rank 0 at step 13 after the restart: the launcher ends the others and starts
all again, they go on from the newest checkpoint, and the losses are those of the first line, to the last digit. Without
`nablax launch` the script is one process that does the same work. On SLURM: `srun python examples/multiprocess.py`.
"""

from __future__ import annotations

import argparse
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np

import nablax

ROWS, FEATURES, HIDDEN = 32, 8, 16


def start() -> dict[str, np.ndarray]:
    """The first parameters, the same on every process."""
    rng = np.random.default_rng(0)
    return {
        "w1": rng.normal(size=(FEATURES, HIDDEN)).astype(np.float32) / FEATURES**0.5,
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": rng.normal(size=(HIDDEN, 1)).astype(np.float32) / HIDDEN**0.5,
    }


def my_rows(step: int) -> tuple[np.ndarray, np.ndarray]:
    """This process's share of a step's batch; it reads no more than that."""
    mine = ROWS // jax.process_count()
    rng = np.random.default_rng(step)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)[jax.process_index() * mine :][:mine]
    return x, np.sin(x.sum(1, keepdims=True))


def loss_fn(params, x, y):
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] - y) ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dir", default="multiprocess-run", help="where the checkpoints go")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(
        "--kill", action="append", default=[], metavar="RANK@STEP", help="one for each attempt"
    )
    given = parser.parse_args()

    nablax.distributed.initialize()  # before JAX looks for devices
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    tx = nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(nablax.cosine_decay_schedule(3e-2, 40)))
    opt = nablax.Optimizer(tx, start(), mesh=mesh)
    manager = nablax.CheckpointManager(given.dir, keep=2, every=5)
    first = manager.latest_step() or 0
    if first:
        manager.restore(opt)
        print(f"goes on after step {first}")

    gradient = jax.jit(jax.value_and_grad(loss_fn))
    attempt = int(os.environ.get("NABLAX_RESTART", 0))
    killed = given.kill[attempt] if attempt < len(given.kill) else None
    for step in range(first + 1, given.steps + 1):
        x, y = nablax.distributed.make_global_batch(my_rows(step), mesh)
        loss, grads = gradient(opt.params, x, y)
        opt.step(grads)
        print(f"step {step} loss {float(loss)!r}")
        if killed == f"{jax.process_index()}@{step}":
            os.kill(os.getpid(), signal.SIGKILL)
        manager.save(step, opt)


if __name__ == "__main__":
    main()
