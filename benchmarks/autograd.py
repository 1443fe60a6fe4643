"""The autograd wing against torch eager and jax.jit of the same.

python benchmarks/autograd.py                    two minutes, needs torch; half of them for jax.jit's LSTM
python benchmarks/autograd.py --only dot,host    some rows: dot operations large mlp rnn lstm transformer while host
python benchmarks/autograd.py --quick            a smoke check

Everything runs in one process pinned to one core, torch with one thread, peers interleaved; medians. First calls are
those of the tiers as they come. For the steady state everything that is hot is compiled first: as after many steps. The
goals are those of the project: times torch's speed for the first column, and against jax.jit for the second.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import torch

from harness import arguments, table, times, where
from nablax import autograd as ag
from nablax.autograd._path._trace import local
from nablax.autograd._program._program import _PROGRAMS
from nablax.autograd._program._tiers import NEVER

torch.set_num_threads(1)
RNG = np.random.default_rng(0)


def array(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


class Case:
    """One row: a loss written once for each library over a list of parameters and a list of data."""

    def __init__(self, name: str, params: list, data: list, ours: Callable, jaxs: Callable, torchs: Callable,
    goal_torch: float,
                 goal_jax: str, adam: bool = False) -> None:  # fmt: skip
        self.name, self.goal_torch, self.goal_jax = name, goal_torch, goal_jax
        self.runs = {
            "torch": self._torch(params, data, torchs, adam),
            "jax": self._jax(params, data, jaxs, adam),
            "ours": self._ours(params, data, ours, adam),
        }

    def _torch(self, params: list, data: list, loss: Callable, adam: bool) -> Callable:
        p = [torch.tensor(a, requires_grad=True) for a in params]
        d = [torch.tensor(a) for a in data]
        optimizer = torch.optim.Adam(p, 1e-3) if adam else None

        def run() -> None:
            for a in p:
                a.grad = None
            loss(p, d).backward()
            if optimizer:
                optimizer.step()

        return run

    def _jax(self, params: list, data: list, loss: Callable, adam: bool) -> Callable:
        def step(p: list, state: tuple, d: list) -> tuple:
            value, grads = jax.value_and_grad(loss)(p, d)
            return (value, *adam_step(p, grads, state)) if adam else (value, grads, state)

        compiled = jax.jit(step)
        box = [[jnp.asarray(a) for a in params], adam_state(params)]
        d = [jnp.asarray(a) for a in data]

        def run() -> None:
            value, out, state = compiled(box[0], box[1], d)
            jax.block_until_ready((value, out))
            if adam:
                box[0], box[1] = out, state

        return run

    def _ours(self, params: list, data: list, loss: Callable, adam: bool) -> Callable:
        p = [ag.Parameter(a) for a in params]
        d = [ag.tensor(jnp.asarray(a)) for a in data]
        box = [adam_state(params)]

        def run() -> None:
            for a in p:
                a.grad = None
            value = loss(p, d)
            value.backward(lazy=adam)
            if adam:
                box[0] = ag.update(adam_step, p, box[0])
                p[0].block_until_ready()
            else:
                for a in p:
                    a.grad.block_until_ready()

        return run


def adam_state(params: list) -> tuple:
    zeros = [np.zeros_like(a) for a in params]
    return np.float32(0), zeros, [z.copy() for z in zeros]


def adam_step(values: list, grads: list, state: tuple) -> tuple:
    t, mu, nu = state
    t = t + 1
    mu = [0.9 * m + 0.1 * g for m, g in zip(mu, grads, strict=True)]
    nu = [0.999 * v + 0.001 * g * g for v, g in zip(nu, grads, strict=True)]
    steps = [m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8) for m, v in zip(mu, nu, strict=True)]
    return [p - 1e-3 * s for p, s in zip(values, steps, strict=True)], (t, mu, nu)


# -- the work ---------------------------------------------------------------------------------------------------------


def many_ops(sin: Callable, turns: int) -> Callable:
    def loss(p: list, d: list) -> Any:
        y = x = p[0]
        for _ in range(turns):
            y = y * x
            y = y + x
            y = y * 0.5
            y = sin(y)
        return y.sum()

    return loss


def mlp(relu: Callable, log_softmax: Callable) -> Callable:
    def loss(p: list, d: list) -> Any:
        h = d[0]
        for w, b in zip(p[:-2:2], p[1:-2:2], strict=True):
            h = relu(h @ w + b)
        return -(log_softmax(h @ p[-2] + p[-1]) * d[1]).sum() / 128

    return loss


def rnn(tanh: Callable) -> Callable:
    def loss(p: list, d: list) -> Any:
        wx, wh, b = p
        h = d[0][0] * 0
        for x in d[1:]:
            h = tanh(x @ wx + h @ wh + b)
        return (h * h).mean()

    return loss


def lstm(sigmoid: Callable, tanh: Callable, width: int) -> Callable:
    def cell(w: Any, b: Any, x: Any, h: Any, c: Any, concatenate: Callable) -> tuple:
        gates = concatenate(x, h) @ w + b
        i, f = sigmoid(gates[:, :width]), sigmoid(gates[:, width : 2 * width])
        g, o = tanh(gates[:, 2 * width : 3 * width]), sigmoid(gates[:, 3 * width :])
        c = f * c + i * g
        return o * tanh(c), c

    def loss(p: list, d: list, concatenate: Callable) -> Any:
        h1 = c1 = h2 = c2 = d[0]
        for x in d[1:]:
            h1, c1 = cell(p[0], p[1], x, h1, c1, concatenate)
            h2, c2 = cell(p[2], p[3], h1, h2, c2, concatenate)
        return (h2 * h2).mean()

    return loss


def transformer(
    softmax: Callable, gelu: Callable, mean: Callable, sqrt: Callable, swap: Callable
) -> Callable:
    def norm(x: Any) -> Any:
        centred = x - mean(x)
        return centred / sqrt(mean(centred * centred) + 1e-5)

    def loss(p: list, d: list) -> Any:
        x = d[0]
        for k in range(0, len(p), 4):
            qkv, out, up, down = p[k : k + 4]
            h = (norm(x) @ qkv).reshape(128, 3, 4, 64)
            q, key, v = (swap(h[:, i], 0, 1) for i in range(3))
            a = softmax(q @ swap(key, 1, 2) / 8.0)
            x = x + swap(a @ v, 0, 1).reshape(128, 256) @ out
            x = x + gelu(norm(x) @ up) @ down
        return (x * x).mean()

    return loss


def cases() -> dict[str, Callable[[], Case]]:
    t, nn = torch, jax.nn
    sizes = [784, 256, 256, 10]
    weights = [a for i, o in itertools.pairwise(sizes) for a in (array(i, o, scale=i**-0.5), array(o))]
    targets = np.eye(10, dtype=np.float32)[RNG.integers(0, 10, 128)]
    cell = [array(64, 64, scale=0.1), array(64, 64, scale=0.1), array(64)]
    two = [array(128, 256, scale=0.1), array(256), array(128, 256, scale=0.1), array(256)]
    block = [
        s * a
        for _ in range(2)
        for s, a in (
            (0.06, array(256, 768)),
            (0.06, array(256, 256)),
            (0.06, array(256, 1024)),
            (0.03, array(1024, 256)),
        )
    ]
    block = [a.astype(np.float32) for a in block]
    sequence = [array(32, 64) for _ in range(51)]
    dot = (
        lambda p, d: 2 * ag.dot(p[0], p[0]),
        lambda p, d: 2 * jnp.dot(p[0], p[0]),
        lambda p, d: 2 * t.dot(p[0], p[0]),
    )
    relus = (lambda x: x.relu(), nn.relu, t.relu)
    sins = (lambda x: x.sin(), jnp.sin, t.sin)
    l_ours = lstm(lambda x: x.sigmoid(), lambda x: x.tanh(), 64)
    l_jax, l_torch = lstm(nn.sigmoid, jnp.tanh, 64), lstm(t.sigmoid, t.tanh, 64)

    def case(
        name: str, params: list, data: list, fns: Any, goal: float, other: str, adam: bool = False
    ) -> Callable[[], Case]:
        return lambda: Case(name, params, data, *fns, goal, other, adam)

    return {
        "dot": case("2 dot(x, x), n = 4", [array(4)], [], dot, 2.5, "+10 us"),
        "operations": case("100 operations on 64 numbers", [array(64)], [], [many_ops(s, 25) for s in sins], 6, ""),
        "large": case("24 operations on 10^6 numbers", [array(10**6)], [], [many_ops(s, 6) for s in relus], 8, "1.05"),
        "mlp": case("MLP 784-256-256-10, Adam", weights, [array(128, 784), targets],
             [mlp(ag.nn.relu, ag.nn.log_softmax), mlp(nn.relu, nn.log_softmax), mlp(t.relu, lambda x:
             t.log_softmax(x, -1))], 1.1, "1.10", adam=True),
        "rnn": case("RNN, 50 steps, hidden 64", cell, sequence,
             [rnn(lambda x: x.tanh()), rnn(jnp.tanh), rnn(t.tanh)], 1.6, "1.00"),
        "lstm": case("LSTM, 2 layers, 50 steps", two, [np.zeros((32, 64), np.float32), *sequence[1:]],
             [lambda p, d: l_ours(p, d, lambda a, b: ag.numpy.concatenate([a, b], axis=1)),
              lambda p, d: l_jax(p, d, lambda a, b: jnp.concatenate([a, b], axis=1)),
              lambda p, d: l_torch(p, d, lambda a, b: t.cat([a, b], 1))], 1.0, "0.50"),
        "transformer": case("two transformer blocks, d = 256", block, [array(128, 256)],
             [transformer(ag.nn.softmax, ag.nn.gelu, lambda x: x.mean(axis=-1, keepdims=True), lambda x: x.sqrt(),
                          lambda x, i, j: x.swapaxes(i, j)),
              transformer(nn.softmax, nn.gelu, lambda x: x.mean(-1, keepdims=True), jnp.sqrt, jnp.swapaxes),
              transformer(lambda x: t.softmax(x, -1), lambda x: t.nn.functional.gelu(x, approximate="tanh"),
                          lambda x: x.mean(-1, keepdim=True), t.sqrt, t.swapaxes)], 1.0, "1.05"),
    }  # fmt: skip


# -- measuring --------------------------------------------------------------------------------------------------------


def measure(runs: dict[str, Callable], seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Median and first-call times in seconds; each peer gets its turn before any gets the next."""
    first = {}
    for name, run in runs.items():
        start = time.perf_counter()
        run()
        first[name] = time.perf_counter() - start
    for name, run in runs.items():
        if name == "ours":
            settle(run)
        for _ in range(4):
            run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken["ours"]) < 3:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in taken.items()}, first


def settle(run: Callable) -> None:
    """Run until what becomes hot is compiled; what stays in the first tier stays there."""
    waits = True
    with ag.tiers("eager-switch"):
        while waits:
            before = {id(hot): hot.runs for hot in hots()}
            for _ in range(10):
                run()
            ag.wait()
            waits = any(hot.runs > before.get(id(hot), 0) for hot in hots())


def hots() -> list[Any]:
    """The programs that will be compiled when they have run often enough, and are not yet."""
    known = list(_PROGRAMS.values())
    found = [hot for program in known for hot in (program.hot, *program._pulls.values())]
    return [hot for hot in found if hot.use is None and hot.error is None and hot.start < NEVER]


def while_loop(seconds: float) -> list[str]:
    """Its row; the times are of one scalar."""

    def f(a: Any) -> Any:
        b = a * 2
        while b.norm() < 1000:
            b = b * 2
        return b if b.sum() > 0 else 100 * b

    values = array(200)
    ours = [ag.tensor(v, requires_grad=True) for v in values]
    torchs = [torch.tensor(v, requires_grad=True) for v in values]
    before = ag.cache_info()
    start = time.perf_counter()
    for a in ours[:10]:
        f(a).backward()
    ten = time.perf_counter() - start

    def run(tensors: list) -> Callable:
        def all_() -> None:
            for a in tensors:
                f(a).backward()

        return all_

    medians, _ = measure({"torch": run(torchs), "ours": run(ours)}, seconds)
    after = ag.cache_info()
    made = after.compilations + after.operations - before.compilations - before.operations
    per = {name: t / 200 for name, t in medians.items()}
    print(f"\nThe while loop: first 10 inputs {ten:.2f} s (goal 1), {made} compilations in all (goal 12).")
    return row("the while loop, a scalar", per["torch"], None, per["ours"], "0.77x", "")


def per_operation() -> tuple[float, float]:
    """Host microseconds for each recorded operation, and for a turn of `s += i`: how fast Python is here."""
    x = ag.tensor(array(64), requires_grad=True)
    taken, turns = [], []
    for _ in range(400):
        s = 0
        start = time.perf_counter()
        for i in range(100):
            s += i
        turns.append((time.perf_counter() - start) / 100)
        y = x * 1.5
        start = time.perf_counter()
        for _ in range(25):
            y = y * x
            y = y + x
            y = y * 0.5
            y = y.sin()
        taken.append((time.perf_counter() - start) / 100)
        y.sum().item()
    assert local.trace.state is local.trace.closed
    return statistics.median(taken) * 1e6, statistics.median(turns) * 1e6


def row(
    name: str, torch_: float, jax_: float | None, ours: float, goal_torch: str, goal_jax: str
) -> list[str]:
    against = "-" if jax_ is None else f"{times(ours / jax_)} ({(ours - jax_) * 1e6:+.1f} us)"
    micro = ["-" if t is None else f"{1e6 * t:.1f} us" for t in (torch_, jax_, ours)]
    return [name, *micro, times(torch_ / ours), goal_torch, against, goal_jax]


def main() -> None:
    makes = cases()
    names = [*makes, "while", "host"]
    args = arguments(__doc__ or "", names)
    quick, only = args.quick, args.only or (["dot", "operations", "while", "host"] if args.quick else names)
    seconds = 0.3 if quick else 3.0
    rows, firsts = [], []
    for make in [make for name, make in makes.items() if name in only]:
        ag.cache_clear()
        case = make()
        got, first = measure(case.runs, seconds)
        rows.append(
            row(case.name, got["torch"], got["jax"], got["ours"], f"{case.goal_torch}x", case.goal_jax)
        )
        firsts.append([case.name, *(f"{first[peer]:.3f} s" for peer in ("torch", "jax", "ours"))])
    if "while" in only:
        rows.append(while_loop(seconds))
    header = ["work", "torch", "jax.jit", "nablax", "faster than torch by", "goal", "of jax.jit", "goal"]
    table("Forward and backward, one core", header, rows)
    table("First call", ["work", "torch", "jax.jit", "nablax (goal: no more than jax.jit)"], firsts)
    if "host" in only:
        host, turn = per_operation()
        print(f"\nHost time for each recorded operation: {host:.2f} us (goal 0.5).", end=" ")
        print(f"A turn of `s += i` in a loop takes {turn:.3f} us.")
    print(f"\n{where()}")


if __name__ == "__main__":
    main()
