"""`nablax compare`: runs optimizers on a problem."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from nablax.core import ArgumentError

from .._catalogue import DEFAULT_OPTIMIZERS, OPTIMIZERS, parse, parse_rates
from .._environment import environment
from .._problems import PROBLEMS, Problem, load_problem
from .._results import Folder, Settings, TakenError
from .._running import SEARCHES, parse_budget, require_optuna
from ._output import show, write
from ._session import finish


class _Compare(click.Command):
    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except click.UsageError as error:
            if "extra argument" in error.message:
                error.message += (
                    " One problem is compared; optimizers are given by --optimizer NAME, once for each."
                )
            raise


def _complete_problem(context: Any, parameter: Any, incomplete: str) -> list[Any]:
    names = [click.shell_completion.CompletionItem(name) for name in PROBLEMS if name.startswith(incomplete)]
    return [*names, click.shell_completion.CompletionItem(incomplete, type="file")]


def _complete_optimizer(context: Any, parameter: Any, incomplete: str) -> list[str]:
    return [name for name in OPTIMIZERS if name.startswith(incomplete)]


@click.command("compare", cls=_Compare, short_help="Run optimizers on a problem, rank them, write a report.")
@click.argument("problem", required=False, shell_complete=_complete_problem)
@click.option(
    "--optimizer", "optimizers", multiple=True, metavar="NAME[:key=value,...]", shell_complete=_complete_optimizer,
    help="One to compare; give it again for more. The key schedule=NAME multiplies the rate by a schedule. "
    f"Without any: {', '.join(DEFAULT_OPTIMIZERS)}.",
)  # fmt: skip
@click.option(
    "--lr", "rates", multiple=True, metavar="NUMBERS",
    help="Learning rates to try: 1e-3,1e-2 or LOW:HIGH:COUNT, a geometric grid.",
)  # fmt: skip
@click.option(
    "--budget", metavar="AMOUNT",
    help="Length of one run: 2000steps, 60s (each optimizer makes the steps that it can), or 1e6tokens.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), help="The same as --budget in steps.")
@click.option(
    "--search", type=click.Choice(SEARCHES),
    help="grid runs every rate to the end; halving goes on with the better third, twice or more; optuna chooses as "
    "many rates itself, between the lowest and the highest.  [default: grid]",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), help="Runs at each rate.  [default: 3]")
@click.option(
    "--target", metavar="[NAME=]NUMBER", help="For the column 'steps to': a training loss, or METRIC=NUMBER."
)
@click.option(
    "--out", type=Path, metavar="DIR", help="Folder of a new comparison.  [default: nablax-PROBLEM]"
)
@click.option(
    "--resume", type=Path, metavar="DIR",
    help="Folder of a comparison to go on with, from where it stopped or with more optimizers, rates or seeds. What is "
    "finished is not run again. Begins one if there is none.",
)  # fmt: skip
@click.option(
    "--no-report",
    is_flag=True,
    help="Leave figures and page out; `nablax report DIR...` draws them, of several folders too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def command(**options: Any) -> None:
    """Run optimizers on PROBLEM at several learning rates and seeds; rank them and write a report.

    PROBLEM is a name from `nablax list` [default: digits], or a Python file that defines init(key),
    loss(params, batch), batches(key) and perhaps evaluate(params); `nablax new-problem` writes one to begin with.
    """
    as_json, drawn = options.pop("as_json"), not options.pop("no_report")
    asked = _Asked(**options)
    with _decided(asked) as (problem, settings, folder):
        folder.write_settings(settings)
        comparison, complete = finish(problem, settings, folder)
        if comparison.entries:
            write(comparison, folder, drawn)
            show(comparison, folder, as_json, drawn)
    if not complete:
        if not comparison.entries:
            click.echo(
                f"nablax: interrupted before any optimizer had finished; --resume {folder.path} begins anew.",
                err=True,
            )
        raise click.exceptions.Exit(130)


@dataclass(frozen=True)
class _Asked:
    """The options as given; None or empty where they were not."""

    problem: str | None
    optimizers: tuple[str, ...]
    rates: tuple[str, ...]
    budget: str | None
    steps: int | None
    search: str | None
    seeds: int | None
    target: str | None
    out: Path | None
    resume: Path | None

    @property
    def length(self) -> str | None:
        """The budget, spelled in one way."""
        if self.budget and self.steps:
            raise ArgumentError("compare: --steps and --budget say the same; give one of them.")
        text = self.budget or (f"{self.steps}steps" if self.steps else None)
        return None if text is None else str(parse_budget(text))


@contextlib.contextmanager
def _decided(asked: _Asked) -> Iterator[tuple[Problem, Settings, Folder]]:
    """What to run, in a folder that nobody else is in: decided there, by what those who were in it before have left."""
    if asked.resume and asked.out:
        raise ArgumentError("compare: --resume names the folder; leave --out out.")
    if asked.resume is None:
        yield from _fresh(asked)
        return
    folder, problem = Folder(asked.resume), None
    if not folder.path.exists():
        problem, _ = _decide(asked, folder)  # what is wrong is said before a folder is made
        folder.make()
    with folder.alone(lambda text: click.echo(f"nablax: {text}", err=True)):
        problem, settings = _decide(asked, folder, problem)
        folder.make()
        yield problem, settings, folder


def _fresh(asked: _Asked) -> Iterator[tuple[Problem, Settings, Folder]]:
    """The same in the folder that was asked for, where no comparison is; without one, in the next that is free."""
    problem, settings = _decide(asked, Folder(asked.out or Path()))
    for number in itertools.count(1):
        folder = Folder(asked.out or Path(f"nablax-{problem.name}" + f"-{number}" * (number > 1)))
        if not folder.is_taken:
            folder.make()
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(folder.alone())
                except TakenError:
                    if asked.out:
                        raise
                    continue
                if not folder.is_taken:  # by one that has ended just now
                    yield problem, settings, folder
                    return
        if asked.out:
            raise ArgumentError(
                f"compare: --out {asked.out} holds a comparison already. --resume {asked.out} goes on with it; another "
                "--out leaves it alone."
            )


def _decide(asked: _Asked, folder: Folder, problem: Problem | None = None) -> tuple[Problem, Settings]:
    """The problem, which need not be loaded yet, and the settings."""
    for text in asked.optimizers:
        parse(text)
    rates = parse_rates(asked.rates) if asked.rates else []
    length = asked.length
    if asked.search == "optuna":
        require_optuna()
    before = folder.settings() if asked.resume and folder.is_taken else None
    if problem is None:
        problem = load_problem(asked.problem or (before and (before.source or before.problem)) or "digits")
    new = Settings.of(
        problem,
        budget=length or f"{problem.steps}steps",
        search=asked.search or "grid",
        optimizers=list(dict.fromkeys(asked.optimizers or DEFAULT_OPTIMIZERS)),
        rates=rates or list(problem.rates),
        seeds=asked.seeds or 3,
        environment=environment(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        **({} if asked.target is None else {"target": _target(asked.target, problem)}),
    )
    parse_budget(new.budget).steps(problem)
    if before is None:
        return problem, new
    return problem, _continued(before, new, asked, bool(rates), folder)


def _target(text: str, problem: Problem) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        raise ArgumentError(f"compare: --target must be a number or NAME=NUMBER, got {text!r}.") from None
    return problem.read_target({name.strip(): value} if name else value, "compare: --target")


def _continued(before: Settings, new: Settings, asked: _Asked, rates: bool, folder: Folder) -> Settings:
    """The comparison in the folder, with what is asked for beyond it."""
    new = replace(
        new,
        budget=new.budget if asked.length else before.budget,
        search=new.search if asked.search else before.search,
        target=new.target if asked.target else before.target,
    )
    if words := before.differs(new):
        raise ArgumentError(
            f"compare: --resume {folder.path}: another comparison is in there: {words} differs."
        )
    wider = replace(
        new,
        optimizers=list(dict.fromkeys([*before.optimizers, *asked.optimizers])),
        rates=sorted({*before.rates, *(new.rates if rates else [])}),
        seeds=asked.seeds or before.seeds,
        environment=before.environment,
        started=before.started,
    )
    if wider.seeds < before.seeds:
        raise ArgumentError(
            f"compare: --resume {folder.path}: it has {before.seeds} seeds, --seeds {wider.seeds} would take some away."
        )
    if wider.search != "grid" and (wider.rates, wider.seeds) != (before.rates, before.seeds):
        raise ArgumentError(
            f"compare: --resume {folder.path}: a search by {wider.search} goes on with more optimizers only: with "
            "other rates or seeds it would have gone another way."
        )
    return wider
