"""Narrow parameters: what a step with each rounding costs beside the plain bfloat16 step, and bytes a parameter.

python benchmarks/precision.py            one leaf of 2^22, AdamW; a minute on two cores
python benchmarks/precision.py --quick    a smoke check
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import nablax
from harness import arguments, medians, milliseconds, table, times, where

WAYS = {
    "plain bfloat16": lambda: nablax.adamw(1e-3),
    "master": lambda: nablax.precision(nablax.adamw(1e-3)),
    "remainder": lambda: nablax.precision(nablax.adamw(1e-3), "remainder"),
    "kahan": lambda: nablax.precision(nablax.adamw(1e-3), "kahan"),
    "stochastic": lambda: nablax.precision(nablax.adamw(1e-3), "stochastic"),
    "stochastic, first moment in bfloat16": lambda: nablax.precision(
        nablax.adamw(1e-3), "stochastic", state_dtype=jnp.bfloat16
    ),
}


def main() -> None:
    args = arguments(__doc__ or "")
    size, rounds = (2**12, 3) if args.quick else (2**22, args.rounds or 21)
    params = jnp.full(size, 1.0, jnp.bfloat16)
    grads = jnp.full(size, 1e-2, jnp.bfloat16)
    opts: dict[str, Any] = {name: nablax.Optimizer(make(), params) for name, make in WAYS.items()}
    opts["plain float32"] = nablax.Optimizer(nablax.adamw(1e-3), params.astype(jnp.float32))
    held = {
        name: sum(x.nbytes for x in jax.tree.leaves((opt.params, opt.state))) / size
        for name, opt in opts.items()
    }
    got = medians({name: (lambda o=opt: o.step(grads)) for name, opt in opts.items()}, rounds, warmup=2)
    base = got["plain bfloat16"]
    rows = [[name, f"{held[name]:.0f}", milliseconds(got[name]), times(got[name] / base)] for name in opts]
    table(
        f"A step of AdamW, {size} parameters", ["", "bytes a parameter", "a step", "of plain bfloat16"], rows
    )
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
