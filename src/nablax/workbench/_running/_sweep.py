"""The sweep: every learning rate and seed of one optimizer, by one compiled program.

Python calls the program for a stretch of the steps, about twenty times for each rate. Between two calls a progress bar
moves, Ctrl-C is heard, and a search may drop rates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nablax.core import ArgumentError

from .._catalogue import Spec, bytes_per_parameter
from .._problems import Problem
from ._feed import feed
from ._program import Group, Program
from ._runs import Runs, means, pieces, plain
from ._search import cost, rungs, survivors
from ._start import Start

STRETCHES = 20


def sweep(
    problem: Problem,
    spec: Spec,
    rates: list[float],
    start: Start,
    steps: int,
    search: str = "grid",
    tick: Callable[[float], None] = lambda part: None,
    compiled_before: dict[int, Program] | None = None,
) -> Runs:
    """Runs the optimizer at each rate from each start.

    Args:
      search: how far each rate is followed, see `_search.py`.
      tick: called along the way with the part that is done, up to 1.
      compiled_before: programs of earlier sweeps that differ in their rates alone, by the size of their groups; takes
        a new one up.

    Raises:
      Unsuited: the optimizer or the problem fails while its program is built or runs.
    """
    length = -(-steps // STRETCHES)
    stretches, seeds = -(-steps // length), len(start.seeds)
    together = jax.default_backend() != "cpu" and search != "halving"  # an accelerator takes all at once
    groups = [Group.of(rates, seeds)] if together else [Group.of([rate], seeds) for rate in rates]
    batches = feed(problem, start.keys, length)
    began = time.perf_counter()
    data = next(batches)
    programs, size = {} if compiled_before is None else compiled_before, len(groups[0].rate)
    if size not in programs:
        programs[size] = Program(problem, spec, start, data, steps=steps, length=length, group=groups[0])
    program = programs[size]
    compiled = time.perf_counter()
    total, ticked = cost(search, len(groups), stretches), 0
    tick(0.0)

    carries = {i: program.blank() for i in range(len(groups))}
    losses, ratios = (np.full((len(groups), size, stretches * length), np.nan, np.float32) for _ in range(2))
    metrics = np.full((len(groups), size, stretches), np.nan, np.float32)
    done = np.zeros(len(groups), np.int64)
    pruned = rungs(search, len(groups), stretches)
    for stretch in range(stretches):
        first, last = stretch * length, min((stretch + 1) * length, steps)
        data = next(batches) if stretch else data
        for i in sorted(carries):
            carries[i], loss, ratio, look = program(carries[i], first, groups[i], data)
            losses[i, :, first : first + length] = loss
            ratios[i, :, first : first + length] = ratio
            if problem.evaluate is not None:
                metrics[i, :, stretch] = _evaluated(problem, look, size) if problem.outside else look
            done[i], ticked = last, ticked + 1
            tick(ticked / total)
        if stretch + 1 in pruned:
            tail = slice(last - max(1, last // 10), last)
            score = {i: float(losses[i, :, tail].mean()) for i in carries}
            kept = survivors(score.__getitem__, list(carries), pruned[stretch + 1])
            carries = {i: carries[i] for i in kept}

    ran = time.perf_counter() - compiled
    ends = pieces(steps)
    return Runs(
        label=spec.text,
        optimizer=spec.name,
        options={key: plain(value) for key, value in spec.options.items()},
        schedule=spec.schedule,
        steps=steps,
        rates=np.repeat(np.asarray(rates, float), seeds),
        seeds=np.tile(np.asarray(start.seeds, np.int64), len(rates)),
        done=np.repeat(done, size),
        ends=ends,
        losses=means(losses.reshape(-1, stretches * length)[:, :steps], ends),
        ratios=means(ratios.reshape(-1, stretches * length)[:, :steps], ends),
        metric_steps=np.minimum(np.arange(1, stretches + 1) * length, steps),
        metrics=None if problem.evaluate is None else metrics.reshape(-1, stretches),
        compile_seconds=compiled - began,
        run_seconds=ran,
        state_bytes=bytes_per_parameter(spec.build(1e-3, steps), start.one),
    )


def _evaluated(problem: Problem, params: Any, runs: int) -> np.ndarray:
    """The metric of each run, by a function that JAX cannot trace."""
    assert problem.evaluate is not None
    params = jax.tree.map(np.asarray, params)
    try:
        values = [problem.evaluate(jax.tree.map(lambda x: x[i], params)) for i in range(runs)]  # noqa: B023
        return np.asarray(values, np.float32).reshape(runs)
    except Exception as error:  # whatever the user's function raises
        raise ArgumentError(f"{problem.source}: evaluate(params): {type(error).__name__}: {error}") from error
