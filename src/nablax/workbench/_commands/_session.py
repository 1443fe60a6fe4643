"""Runs what a comparison still lacks, and writes each optimizer's runs when it has finished."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from nablax.core import ArgumentError

from .._catalogue import Spec, parse
from .._problems import Problem
from .._results import Comparison, Folder, Settings, missing, summarise, trials_of
from .._running import Program, Runs, Start, Unsuited, parse_budget, steps_in, suggest, sweep
from ._interrupt import heard_between_calls
from ._progress import Reported

_WORST = 1e30  # the loss of a rate that diverged, for a search that looks at the order of losses alone


def finish(problem: Problem, settings: Settings, folder: Folder) -> tuple[Comparison, bool]:
    """The comparison, and whether it is complete: Ctrl-C leaves it as far as it got.

    Raises:
      ArgumentError: no optimizer suits the problem.
    """
    runs = {label: found for label, found in folder.runs().items() if label in settings.optimizers}
    failed: dict[str, str] = {}
    errors: list[ArgumentError] = []
    lacking = [label for label in settings.optimizers if _blocks(settings, runs.get(label))]
    start = cache(lambda seeds: Start.of(problem, seeds))
    complete = True
    try:
        with heard_between_calls() as check, Reported(len(lacking), folder.path / "progress.log") as progress:

            def tick(part: float) -> None:
                progress.at(part)
                check()

            def keep(found: Runs) -> None:
                runs[found.label] = found
                folder.write_runs(found)

            for label in lacking:
                progress.begin(label)
                try:
                    _complete(problem, parse(label), settings, runs.get(label), start, keep, tick)
                except Unsuited as error:  # the others go on
                    failed[label] = error.reason
                    errors.append(error)
                    progress.end(f"does not suit this problem: {error.reason}")
                    continue
                progress.end("finished")
                folder.write_results(summarise(settings, runs.values(), failed))
    except KeyboardInterrupt:
        complete = False
    if complete and not runs:
        raise errors[0]
    return summarise(settings, runs.values(), failed), complete


def _complete(
    problem: Problem,
    spec: Spec,
    settings: Settings,
    found: Runs | None,
    start: Callable[[tuple[int, ...]], Start],
    keep: Callable[[Runs], None],
    tick: Callable[[float], None],
) -> None:
    """Runs what one optimizer lacks; `keep` is given all its runs whenever there are more of them."""
    blocks = _blocks(settings, found)
    programs: dict[int, Program] | None = {} if settings.search == "optuna" else None
    for number, (rates, seeds) in enumerate(blocks):

        def part_done(part: float, number: int = number) -> None:
            tick((number + part) / len(blocks))

        here = start(tuple(seeds))
        steps = _steps(problem, spec, settings, found, here)
        rates = rates or [_suggested(settings, found)]
        swept = sweep(problem, spec, rates, here, steps, settings.search, part_done, programs)
        found = swept if found is None else found.joined(swept)
        keep(found)


def _blocks(settings: Settings, found: Runs | None) -> list[tuple[list[float], list[int]]]:
    """Products of rates and seeds that are still to run; without rates where one is to be suggested."""
    if settings.search != "optuna":
        return missing(found, settings.rates, settings.seeds)
    known = 0 if found is None else len(set(found.rates.tolist()))
    return [([], list(range(settings.seeds)))] * (len(settings.rates) - known)


def _suggested(settings: Settings, found: Runs | None) -> float:
    """A rate that has not run yet."""
    trials = [] if found is None else trials_of(found)
    seen = {trial.rate: _WORST if any(trial.diverged) else trial.final_loss for trial in trials}
    rate = suggest(seen, settings.rates[0], settings.rates[-1])
    while rate in seen:
        rate = float(f"{rate * 1.01:.3g}")
    return rate


def _steps(problem: Problem, spec: Spec, settings: Settings, found: Runs | None, start: Start) -> int:
    """Of one run: as many as before, or as the budget says."""
    if found is not None:
        return found.steps
    budget = parse_budget(settings.budget)
    return budget.steps(problem) or steps_in(budget.amount, problem, spec, start)
