"""The sweep: every learning rate and seed of one optimizer in one compiled program.

The rate is a traced number and the steps run under `lax.scan`, so nothing is compiled again for another rate, seed
or stretch of steps. The program runs a stretch of the steps of all runs; Python calls it about twenty times. Between
two calls a progress bar moves and Ctrl-C is heard. Runs go one after the other on a CPU (`lax.map`), side by side on
an accelerator (`vmap`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import ArgumentError, NablaxError, with_extra_args_support
from nablax.runtime import step as one_step

from ._optimizers import Spec
from ._problems import Problem

STRETCHES = 20


@dataclass(frozen=True)
class Sweep:
    """What one optimizer did.

    Attributes:
      losses: training loss before each step, float32 (rates, seeds, steps).
      metrics: held-out metric after each stretch of steps, float32 (rates, seeds, stretches); None without `evaluate`.
      metric_steps: steps done at each of these.
      compile_seconds, run_seconds: wall time.
      state_bytes: bytes of the optimizer's state for each number among the parameters.
    """

    losses: np.ndarray
    metrics: np.ndarray | None
    metric_steps: list[int]
    compile_seconds: float
    run_seconds: float
    state_bytes: float


@dataclass(frozen=True)
class Start:
    """Where all optimizers begin: the same parameters and keys for a seed, whatever the optimizer and the rate.

    Attributes:
      params: initial parameters, stacked over seeds.
      keys: of the data, one for each seed.
    """

    params: Any
    keys: Any

    @classmethod
    def of(cls, problem: Problem, seeds: int) -> Start:
        init_keys, keys = _keys(seeds)
        params = [problem.init(key) for key in init_keys]
        return cls(jax.tree.map(lambda *leaves: np.stack(leaves), *params), keys)


@partial(jax.jit, static_argnums=0)
def _keys(seeds: int) -> tuple[list[Any], Any]:
    """For each seed a key of the initial parameters, and one of the data."""
    both = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(jnp.arange(seeds))
    return [both[seed, 0] for seed in range(seeds)], both[:, 1]


class Unsuited(ArgumentError):
    """An optimizer, or the problem with it, failed while its program was built; `reason` says how."""

    def __init__(self, problem: Problem, spec: Spec, reason: str):
        super().__init__(f"compare: --optimizer {spec.text} on {problem.name}: {reason}")
        self.reason = reason


def ticks(steps: int) -> int:
    """How often `sweep` reports for so many steps: once it has compiled, and after each stretch."""
    return 1 + -(-steps // _stretch(steps))


def _stretch(steps: int) -> int:
    return -(-steps // STRETCHES)


def sweep(
    problem: Problem,
    spec: Spec,
    rates: list[float],
    start: Start,
    steps: int,
    tick: Callable[[], None] = lambda: None,
) -> Sweep:
    """Runs the optimizer at each rate from each start.

    Args:
      tick: called `ticks(steps)` times along the way.

    Raises:
      Unsuited: the optimizer or the problem fails while its program is built.
    """
    length, seeds = _stretch(steps), len(start.keys)
    runs = _Runs(
        rate=np.repeat(np.asarray(rates, np.float32), seeds),
        seed=np.tile(np.arange(seeds, dtype=np.int32), len(rates)),
    )
    feed = _feed(problem, start, length)
    began = time.perf_counter()
    try:
        carry = _blank(problem, spec, start, steps, len(runs.rate))
        stretch = _program(problem, spec, steps, length)
        data = next(feed)
        program = jax.jit(stretch, donate_argnums=0).lower(carry, np.int32(0), runs, start, data).compile()
    except Exception as error:  # whatever the user's functions raise while they are traced
        raise Unsuited(problem, spec, str(error).strip().partition("\n")[0]) from error
    compiled = time.perf_counter()
    tick()

    losses, metrics, metric_steps = [], [], []
    for first in range(0, steps, length):
        data = next(feed) if first else data
        carry, loss, metric = program(carry, np.int32(first), runs, start, data)
        losses.append(np.asarray(loss))
        metrics.append(_evaluated(problem, carry[0], len(runs.rate)) if problem.outside else metric)
        metric_steps.append(min(first + length, steps))
        tick()
    shape = (len(rates), seeds, -1)
    return Sweep(
        losses=np.concatenate(losses, axis=1).reshape(shape)[..., :steps],
        metrics=None if metrics[0] is None else np.stack(metrics, axis=1).reshape(shape),
        metric_steps=metric_steps,
        compile_seconds=compiled - began,
        run_seconds=time.perf_counter() - compiled,
        state_bytes=state_bytes(spec, start, steps),
    )


@dataclass(frozen=True)
class _Runs:
    """One entry for each run: its learning rate, and the number of its seed."""

    rate: Any
    seed: Any


jax.tree_util.register_dataclass(_Runs, data_fields=["rate", "seed"], meta_fields=[])
jax.tree_util.register_dataclass(Start, data_fields=["params", "keys"], meta_fields=[])


def _program(problem: Problem, spec: Spec, steps: int, length: int) -> Callable[..., Any]:
    """The program of one stretch: `length` steps of every run, of which those past the last step do nothing."""

    def one(carry: Any, run: _Runs, first: Any, start: Start, data: Any) -> Any:
        params, key, batches = jax.tree.map(lambda leaf: leaf[run.seed], (start.params, start.keys, data))
        tx = with_extra_args_support(spec.build(run.rate, steps))
        carry = jax.lax.cond(first == 0, lambda: (params, tx.init(params)), lambda: carry)

        def step(carry: Any, count_and_batch: Any) -> Any:
            params, state = carry
            count, batch = count_and_batch
            if not problem.streams:
                batch = problem.batches(jax.random.fold_in(key, count))
            loss, grads = jax.value_and_grad(problem.loss)(params, batch)
            extra = {"value": loss, "grad": grads, "value_fn": lambda p: problem.loss(p, batch)}
            done = one_step(tx, grads, state, params, extra)
            return (done.params, done.state), loss.astype(jnp.float32)

        def step_or_rest(carry: Any, count_and_batch: Any) -> Any:
            if steps % length == 0:
                return step(carry, count_and_batch)
            return jax.lax.cond(
                count_and_batch[0] < steps,
                step,
                lambda c, _: (c, jnp.zeros((), jnp.float32)),
                carry,
                count_and_batch,
            )

        carry, losses = jax.lax.scan(step_or_rest, carry, (first + jnp.arange(length), batches))
        inside = problem.evaluate is not None and not problem.outside
        return carry, losses, problem.evaluate(carry[0]) if inside else None  # type: ignore[misc]

    def stretch(carry: Any, first: Any, runs: _Runs, start: Start, data: Any) -> Any:
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda x: one(x[0], x[1], first, start, data), (carry, runs))
        return jax.vmap(lambda c, r: one(c, r, first, start, data))(carry, runs)

    return stretch


def _evaluated(problem: Problem, params: Any, runs: int) -> np.ndarray:
    """The metric of each run, by a function that JAX cannot trace."""
    assert problem.evaluate is not None
    params = jax.tree.map(np.asarray, params)
    try:
        values = [problem.evaluate(jax.tree.map(lambda x: x[i], params)) for i in range(runs)]  # noqa: B023
        return np.asarray(values, np.float32).reshape(runs)
    except Exception as error:  # whatever the user's function raises
        raise ArgumentError(f"{problem.source}: evaluate(params): {type(error).__name__}: {error}") from error


def _blank(problem: Problem, spec: Spec, start: Start, steps: int, runs: int) -> Any:
    """Room for parameters and states of all runs; the program fills it in before its first step."""

    def fresh(params: Any) -> Any:
        return params, spec.build(1e-3, steps).init(params)

    def room(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.split(jax.random.key(0), (runs, *leaf.shape))
        return jax.device_put(np.zeros((runs, *leaf.shape), leaf.dtype))

    return jax.tree.map(room, jax.eval_shape(fresh, _one_params(start)))


def _one_params(start: Start) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), start.params)


def state_bytes(spec: Spec, start: Start, steps: int) -> float:
    """Bytes of the optimizer's state for each number among the parameters."""
    params = _one_params(start)
    state = jax.eval_shape(lambda p: spec.build(1e-3, steps).init(p), params)
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) / max(numbers, 1)


def _feed(problem: Problem, start: Start, length: int) -> Iterator[Any]:
    """The batches of each stretch, stacked (seeds, length, ...), where the problem gives an iterator; else nothing."""
    if not problem.streams:
        while True:
            yield None
    streams = [_endless(problem, key) for key in start.keys]
    while True:
        try:
            taken = [[next(stream) for _ in range(length)] for stream in streams]
        except NablaxError:
            raise
        except Exception as error:
            raise ArgumentError(f"{problem.source}: batches(key): {type(error).__name__}: {error}") from error
        try:
            yield jax.tree.map(
                lambda *leaves: np.stack(leaves), *(jax.tree.map(lambda *b: np.stack(b), *bs) for bs in taken)
            )
        except ValueError as error:
            raise ArgumentError(
                f"{problem.source}: batches(key): all batches must have one shape: {error}"
            ) from None


def _endless(problem: Problem, key: Any) -> Iterator[Any]:
    """The batches of one pass after the other; each pass has a key of its own."""
    passes = 0
    while True:
        before = passes
        for batch in problem.batches(jax.random.fold_in(key, passes)):
            passes = before + 1
            yield batch
        if passes == before:
            raise ArgumentError(f"{problem.source}: batches(key): the iterator is empty.")
