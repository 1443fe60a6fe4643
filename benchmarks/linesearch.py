"""L-BFGS against Optax, `minimize` against a hand-written loop, and evaluations on the More-Garbow-Hillstrom problems.

python benchmarks/linesearch.py            about three minutes
python benchmarks/linesearch.py --quick    a smoke check

Evaluations are counted to a gradient of 1e-8 (largest entry) in float64; scipy's L-BFGS-B, and optimistix's BFGS where
it is installed, count theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from harness import arguments, medians, milliseconds, table, times, where
from nablax import linesearch
from nablax.core import apply_updates

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "linesearch"))
from mgh_problems import PROBLEMS


def quadratic(n: int) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
    scales = jnp.logspace(0, 3, n)

    def fun(x: Any, scales: Any) -> Any:
        return 0.5 * jnp.sum(scales * (x - 1) ** 2)

    return fun, jnp.zeros(n), (scales,)


def logistic(rows: int, columns: int) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (rows, columns)) / columns**0.5
    y = jnp.sign(x @ jax.random.normal(keys[1], (columns,)) + 0.3 * jax.random.normal(keys[2], (rows,)))

    def fun(w: Any, x: Any, y: Any) -> Any:
        return jnp.mean(jax.nn.softplus(-y * (x @ w))) + 1e-5 * jnp.sum(w**2)

    return fun, jnp.zeros(columns), (x, y)


def loop(
    module: Any, tx: Any, fun: Any, args: tuple[Any, ...], steps: int
) -> Callable[[Any], tuple[Any, Any]]:
    """So many steps in one compiled loop, as a user writes it."""

    @jax.jit
    def run(x: Any, args: Any) -> tuple[Any, Any]:
        def value_fn(x: Any) -> Any:
            return fun(x, *args)

        value_and_grad = module.value_and_grad_from_state(value_fn)

        def body(_: Any, carry: Any) -> Any:
            x, state = carry
            value, grad = value_and_grad(x, state=state)
            updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=value_fn)
            return apply_updates(x, updates), state

        x, state = jax.lax.fori_loop(0, steps, body, (x, tx.init(x)))
        return x, state[-1].value

    return lambda x: run(x, args)


def reuse_loop(fun: Any, args: tuple[Any, ...], steps: int) -> Callable[[Any], tuple[Any, Any]]:
    """The loop by hand at its best: value and gradient carried over from the line search, no test of convergence."""
    tx = linesearch.lbfgs()

    @jax.jit
    def run(x: Any, args: Any) -> tuple[Any, Any]:
        def value_fn(x: Any) -> Any:
            return fun(x, *args)

        def body(_: Any, carry: Any) -> Any:
            x, state, value, grad = carry
            updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=value_fn)
            return apply_updates(x, updates), state, state[-1].value, state[-1].grad

        x, _, value, _ = jax.lax.fori_loop(0, steps, body, (x, tx.init(x), *jax.value_and_grad(value_fn)(x)))
        return x, value

    return lambda x: run(x, args)


def speed(quick: bool) -> None:
    n, rows, columns = (10**3, 200, 20) if quick else (10**6, 20_000, 500)
    steps, rounds = (5, 2) if quick else (15, 9)
    out = []
    for name, (fun, x0, args) in {
        f"quadratic, n = {n:,}": quadratic(n),
        "quadratic, n = 1,000": quadratic(1000),
        f"logistic regression, {rows:,} x {columns}": logistic(rows, columns),
    }.items():
        mine = loop(linesearch, linesearch.lbfgs(), fun, args, steps)
        theirs = loop(optax, optax.lbfgs(), fun, args, steps)
        hand, begun = reuse_loop(fun, args, steps), reuse_loop(fun, args, steps // 3)

        def whole(steps: int, fun: Any = fun, x0: Any = x0, args: Any = args) -> Any:
            return linesearch.minimize(fun, x0, args=args, tol=0.0, max_steps=steps)

        peers = {
            "nablax": lambda f=mine, x=x0: f(x), "optax": lambda f=theirs, x=x0: f(x),
            "hand": lambda f=hand, x=x0: f(x), "hand begun": lambda f=begun, x=x0: f(x),
            "minimize": lambda f=whole: f(steps), "minimize begun": lambda f=whole: f(steps // 3),
        }  # fmt: skip
        got = medians(peers, rounds * (5 if len(x0) == 1000 else 1))
        # What a call costs whatever it does is in both of its times.
        iterations = [got[who] - got[f"{who} begun"] for who in ("minimize", "hand")]
        out.append(
            [
                name,
                milliseconds(got["nablax"] / steps),
                milliseconds(got["optax"] / steps),
                times(got["optax"] / got["nablax"]),
                f"{float(mine(x0)[1]):.4g}, {float(theirs(x0)[1]):.4g}",
                times(iterations[0] / iterations[1]),
                times(got["minimize"] / got["hand"]),
            ]
        )
    header = ["problem", "nablax", "Optax", "faster than Optax by", "values after"]
    header += ["minimize / by hand, an iteration", "all of it"]
    table(f"L-BFGS, a step of {steps} in one program", header, out)


def evaluations(quick: bool) -> None:
    from scipy.optimize import minimize as scipy_minimize

    try:
        import optimistix
    except ImportError:
        optimistix = None
    rows = []
    for name, problem in list(PROBLEMS.items())[: 2 if quick else None]:
        x0 = jnp.array(problem.x0)
        cells = []
        for bounds in (None, (None, None)):
            result = linesearch.minimize(problem, x0, tol=1e-8, bounds=bounds)
            cells.append(_cell(int(result.evaluations), float(result.value), problem.minimum))
        peer = scipy_minimize(
            jax.jit(jax.value_and_grad(problem)), np.asarray(x0), jac=True, method="L-BFGS-B",
            options={"ftol": 0.0, "gtol": 1e-8, "maxiter": 1000},
        )  # fmt: skip
        cells.append(_cell(peer.nfev, peer.fun, problem.minimum))
        if optimistix is None:
            cells.append("-")
        else:
            found = optimistix.minimise(
                lambda x, _, f=problem: f(x),
                optimistix.BFGS(rtol=1e-10, atol=1e-10),
                x0,
                max_steps=2000,
                throw=False,
            )
            cells.append(_cell(int(found.stats["num_steps"]), float(problem(found.value)), problem.minimum))
        rows.append([name, *cells])
    header = ["problem", "nablax", "with bounds", "scipy L-BFGS-B", "optimistix BFGS, steps"]
    table("Evaluations of the function with its gradient", header, rows)


def _cell(count: int, value: float, minimum: float) -> str:
    """The count, with a mark where the published minimum was not reached."""
    reached = abs(value - minimum) <= 1e-9 * abs(minimum) + 1e-12
    return f"{count}" if reached else f"{count}, ends at {value:.3g}"


def main() -> None:
    quick = arguments(__doc__ or "").quick
    speed(quick)
    with jax.enable_x64(True):
        evaluations(quick)
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
