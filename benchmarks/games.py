"""Games: what the solver costs over a hand-written loop, and against eager research code.

python benchmarks/games.py            about a minute, needs torch
python benchmarks/games.py --quick    a smoke check

1. A bilinear game min_x max_y x^T A y with n = 1000, 1,000 extra-gradient steps: `games.solve`, a jitted
   `lax.fori_loop` written by hand, and the same in eager PyTorch. The solver also records every residual, the average
   and the best point, and looks for a reason to stop.
2. The operations of a zero-sum field: matrix products in the compiled field of a network, against one and two
   backward passes.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import torch

from harness import arguments, medians, milliseconds, table, times, where
from nablax import games


def contenders(n: int, steps: int):
    """Functions that play the game and return x at the end, by name."""
    rng = np.random.default_rng(0)
    a_numpy = (rng.normal(size=(n, n)) / (2 * np.sqrt(n))).astype(np.float32)
    start = {p: rng.normal(size=n).astype(np.float32) for p in "xy"}
    lr = 0.3
    a, z0 = jnp.asarray(a_numpy), jax.tree.map(jnp.asarray, start)

    F = games.field(lambda x, y: x @ a @ y, minimize="x", maximize="y")
    method = games.methods.extragradient(lr)

    def solver():
        return games.solve(method, F, z0, steps=steps).last["x"].block_until_ready()

    @functools.partial(jax.jit, static_argnums=2)
    def loop(x, y, steps):
        def body(_, z):
            x, y = z
            half = x - lr * (a @ y), y + lr * (x @ a)
            return x - lr * (a @ half[1]), y + lr * (half[0] @ a)

        return jax.lax.fori_loop(0, steps, body, (x, y))

    def by_hand():
        return loop(z0["x"], z0["y"], steps)[0].block_until_ready()

    a_torch = torch.from_numpy(a_numpy)

    def eager():
        """As in research code: autograd of the payoff, and two passes a step."""
        x, y = (torch.from_numpy(start[p].copy()).requires_grad_() for p in "xy")
        for _ in range(steps):
            gx, gy = torch.autograd.grad(x @ a_torch @ y, (x, y))
            half_x, half_y = (x - lr * gx).detach().requires_grad_(), (y + lr * gy).detach().requires_grad_()
            gx, gy = torch.autograd.grad(half_x @ a_torch @ half_y, (half_x, half_y))
            with torch.no_grad():
                x -= lr * gx
                y += lr * gy
        return x.detach()

    return {"jitted fori_loop by hand": by_hand, "games.solve": solver, "PyTorch eager": eager}


def products() -> dict[str, int]:
    """Matrix products in the compiled program, for a payoff that is a network of four layers."""
    rng = np.random.default_rng(0)
    weights = [jnp.asarray(rng.normal(size=(64, 64)) / 8, jnp.float32) for _ in range(4)]

    def payoff(x, y):
        h = y
        for w in weights:
            h = jnp.tanh((x * h) @ w)
        return h.sum()

    z = {"x": jnp.ones((32, 64)), "y": jnp.ones((32, 64))}

    def count(fn):
        # The lowered program, before XLA merges what is written twice.
        return jax.jit(fn).lower(z).as_text().count("stablehlo.dot_general")

    return {
        "one backward pass (jax.vjp)": count(lambda z: jax.vjp(payoff, z["x"], z["y"])[1](1.0)),
        "zero-sum field": count(games.field(payoff, minimize="x", maximize="y")),
        "the same as a game of general sum": count(
            games.field({"x": payoff, "y": lambda x, y: -payoff(x, y)})
        ),
    }


def main() -> None:
    options = arguments(__doc__ or "")
    n, steps, rounds = (50, 20, 2) if options.quick else (1000, 1000, 15)
    functions = contenders(n, steps)
    results = {name: np.asarray(function()) for name, function in functions.items()}  # compiles, and warms up
    reference = results["jitted fori_loop by hand"]
    for name, x in results.items():
        np.testing.assert_allclose(x, reference, rtol=1e-2, atol=1e-3 * np.abs(reference).max(), err_msg=name)
    got = medians(functions, options.rounds or rounds)
    least = got["jitted fori_loop by hand"]
    table(
        f"Bilinear game, n = {n}, {steps} extra-gradient steps",
        ["", "time", "of the loop by hand"],
        [[name, milliseconds(spent), times(spent / least)] for name, spent in got.items()],
    )
    table(
        "The field of a network of four layers",
        ["", "matrix products"],
        [[k, str(v)] for k, v in products().items()],
    )
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
