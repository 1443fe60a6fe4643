"""Runs what a comparison still lacks, and writes each optimizer's runs when it has finished."""

from __future__ import annotations

from functools import cache

from nablax.core import ArgumentError

from .._catalogue import Spec, parse
from .._problems import Problem
from .._results import Comparison, Folder, Settings, missing, summarise
from .._running import Runs, Start, Unsuited, parse_budget, steps_in, sweep
from ._interrupt import heard_between_calls
from ._progress import Reported


def finish(problem: Problem, settings: Settings, folder: Folder) -> tuple[Comparison, bool]:
    """The comparison, and whether it is complete: Ctrl-C leaves it as far as it got.

    Raises:
      ArgumentError: no optimizer suits the problem.
    """
    runs = {label: found for label, found in folder.runs().items() if label in settings.optimizers}
    failed: dict[str, str] = {}
    errors: list[ArgumentError] = []
    lacking = [
        label for label in settings.optimizers if missing(runs.get(label), settings.rates, settings.seeds)
    ]
    start = cache(lambda seeds: Start.of(problem, seeds))
    complete = True
    try:
        with heard_between_calls() as check, Reported(len(lacking), folder.path / "progress.log") as progress:

            def tick(part: float) -> None:
                progress.at(part)
                check()

            for label in lacking:
                progress.begin(label)
                spec, blocks = parse(label), missing(runs.get(label), settings.rates, settings.seeds)
                try:
                    for number, (rates, seeds) in enumerate(blocks):
                        steps = _steps(problem, spec, settings, runs.get(label), start(tuple(seeds)))
                        swept = sweep(
                            problem, spec, rates, start(tuple(seeds)), steps, settings.search,
                            lambda part, number=number: tick((number + part) / len(blocks)),  # type: ignore[misc]  # noqa: B023
                        )  # fmt: skip
                        runs[label] = runs[label].joined(swept) if label in runs else swept
                        folder.write_runs(runs[label])
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


def _steps(problem: Problem, spec: Spec, settings: Settings, before: Runs | None, start: Start) -> int:
    """Of one run: as many as before, or as the budget says."""
    if before is not None:
        return before.steps
    budget = parse_budget(settings.budget)
    return budget.steps(problem) or steps_in(budget.amount, problem, spec, start)
