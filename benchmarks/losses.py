"""Sparsemax on (4096, 1000) and CTC on (32, 200, 64), value and gradient, against Optax and torch (if installed).

python benchmarks/losses.py            about twenty seconds
python benchmarks/losses.py --quick    a smoke check
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import nablax.losses
from harness import arguments, medians, milliseconds, table, times, where


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


def main() -> None:
    options = arguments(__doc__ or "")
    rows = []
    for case in (sparsemax_case, ctc_case):
        name, peers = case(options.quick)
        got = medians(peers, options.rounds or (3 if options.quick else 31))
        torch_time = milliseconds(got["torch"]) if "torch" in got else "-"
        rows.append(
            [
                name,
                *(milliseconds(got[peer]) for peer in ("nablax", "optax")),
                times(got["optax"] / got["nablax"]),
                torch_time,
            ]
        )
    table("Losses, value and gradient", ["loss", "nablax", "Optax", "faster than Optax by", "torch"], rows)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
