"""The command line: `nablax compare` and `nablax list`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nablax.core import ArgumentError, HyperparameterError
from nablax.distributed import launch

from . import _figures, _optimizers, _report, _runner, _schedules, _table
from ._environment import environment
from ._problems import PROBLEMS, Problem
from ._results import Comparison
from ._results import compare as summarise
from ._user_problem import load_problem

RESULTS = "results.json"
INTERRUPTED = 130  # what a shell reports for a process that SIGINT ended


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nablax", prog_name="nablax")
def cli() -> None:
    """Compare optimizers, on real data or on your own problem."""


@cli.command("list")
def list_command() -> None:
    """Name the problems, the optimizers and the schedules, with a line each."""
    tables = {
        "Problems": {name: shipped.summary for name, shipped in PROBLEMS.items()},
        "Optimizers": {name: _optimizers.describe(name) for name in _optimizers.OPTIMIZERS},
        "Schedules": {name: _schedules.describe(name) for name in _schedules.SCHEDULES},
    }
    width = max(len(name) for table in tables.values() for name in table)
    for title, table in tables.items():
        click.secho(title, bold=True)
        for name, line in table.items():
            click.echo(f"  {name:{width}}  {line}")


@cli.command("compare")
@click.argument("problem", default="digits")
@click.option(
    "--optimizer", "optimizers", multiple=True, metavar="NAME[:key=value,...]",
    help="One to compare; give it again for more. The key schedule=NAME multiplies the rate by a schedule. "
    f"Without any: {', '.join(_optimizers.DEFAULT_OPTIMIZERS)}.",
)  # fmt: skip
@click.option(
    "--lr", "rates", multiple=True, metavar="NUMBERS",
    help="Learning rates to try: 1e-3,1e-2 or LOW:HIGH:COUNT, a geometric grid.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), help="Updates in each run.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs at each rate.")
@click.option("--target", type=float, help="Training loss for the column 'steps to loss'.")
@click.option("--out", type=Path, metavar="DIR", help="Where the report goes. [default: nablax-PROBLEM]")
def compare_command(
    problem: str,
    optimizers: tuple[str, ...],
    rates: tuple[str, ...],
    steps: int | None,
    seeds: int,
    target: float | None,
    out: Path | None,
) -> None:
    """Run optimizers on PROBLEM at several learning rates and seeds; rank them and write a report.

    PROBLEM is a name from `nablax list` [default: digits], or a Python file that defines init(key),
    loss(params, batch), batches(key) and perhaps evaluate(params).
    """
    specs = [_optimizers.parse(text) for text in dict.fromkeys(optimizers or _optimizers.DEFAULT_OPTIMIZERS)]
    given = _optimizers.parse_rates(rates) if rates else None
    if target is not None and target != target:
        raise HyperparameterError("compare: --target must be a number, got nan.")
    loaded = load_problem(problem)
    out = out or Path(f"nablax-{loaded.name}")
    _check_writable(out)
    comparison = _run(loaded, specs, given or list(loaded.rates), steps or loaded.steps, seeds, target, out)
    if comparison is None:
        click.echo("nablax: interrupted before any optimizer had finished; nothing was written.", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    _write(comparison, out)
    console = Console()
    _table.show(comparison, console if console.is_terminal else Console(width=200))
    click.echo(f"\nreport: {out / 'report.html'}")
    if comparison.not_run:
        raise click.exceptions.Exit(INTERRUPTED)


@cli.command("launch", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def launch_command(arguments: tuple[str, ...]) -> None:
    """Run a script in several processes, and restart them all when one dies."""
    launch(arguments)


def _check_writable(out: Path) -> None:
    probe = out / f".nablax-{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(f"compare: --out {out}: cannot write there: {error.strerror}.") from error


def _run(
    problem: Problem,
    specs: list[_optimizers.Spec],
    rates: list[float],
    steps: int,
    seeds: int,
    target: float | None,
    out: Path,
) -> Comparison | None:
    """Runs the optimizers one after the other; after Ctrl-C, what was finished. None if that is nothing.

    The results are written anew after each optimizer, so that even a killed process leaves them.
    """
    options = [word for spec in specs for word in ("--optimizer", spec.text)]
    command = [
        "nablax", "compare", problem.source or problem.name, *options, "--lr", ",".join(map(repr, rates)),
        "--steps", str(steps), "--seeds", str(seeds), *([] if target is None else ["--target", repr(target)]),
    ]  # fmt: skip
    started = datetime.now(UTC).isoformat(timespec="seconds")
    done: list[tuple[_optimizers.Spec, _runner.Sweep]] = []
    failed: dict[str, str] = {}
    errors: list[ArgumentError] = []

    def summary() -> Comparison:
        return summarise(
            problem, done, rates, target,
            seeds=seeds, not_run=[spec.text for spec in specs[len(done) + len(failed) :]], failed=failed,
            environment=environment(), started=started, command=shlex.join(command),
        )  # fmt: skip

    console = Console(stderr=True)
    try:
        with _heard_between_calls() as check, _progress(console) as progress:

            def tick() -> None:
                progress.advance(task)
                check()

            task = progress.add_task("preparing", total=len(specs) * _runner.ticks(steps))
            start = _runner.Start.of(problem, seeds)
            for spec in specs:
                progress.update(task, description=spec.text)
                try:
                    swept = _runner.sweep(problem, spec, rates, start, steps, tick)
                except _runner.Unsuited as error:  # the others go on
                    failed[spec.text] = error.reason
                    errors.append(error)
                    progress.advance(task, _runner.ticks(steps))
                    continue
                done.append((spec, swept))
                summary().save(out / RESULTS)
    except KeyboardInterrupt:
        if not done:
            return None
    if not done:
        raise errors[0]
    return summary()


@contextmanager
def _heard_between_calls() -> Iterator[Callable[[], None]]:
    """Holds Ctrl-C back until the function it gives is called, which then raises KeyboardInterrupt.

    Raised in the midst of a compilation it could get lost in a callback. A second Ctrl-C is not held back.
    """
    heard = False

    def listen(signum: int, frame: Any) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = True

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where Python delivers no signals
        yield check
        return
    before = signal.signal(signal.SIGINT, listen)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _write(comparison: Comparison, out: Path) -> None:
    """The results first: they are there even if Ctrl-C comes while the figures are drawn."""
    comparison.save(out / RESULTS)
    (out / "curves.png").write_bytes(_figures.png(_figures.curves(comparison)))
    (out / "sensitivity.png").write_bytes(_figures.png(_figures.sensitivity(comparison)))
    (out / "report.html").write_text(_report.html(comparison), encoding="utf-8")


def run(arguments: list[str] | None) -> int:
    """Runs the command line and returns its exit code: 2 after bad input, which is said in one line on stderr."""
    try:
        code = cli.main(arguments, prog_name="nablax", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        return _refuse(error.format_message())
    except (ArgumentError, HyperparameterError) as error:
        return _refuse(str(error))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `nablax list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refuse(f"compare: cannot write {error.filename}: {error.strerror}.")
    return code or 0


def _refuse(message: str) -> int:
    click.echo(f"nablax: {' '.join(message.split())}", err=True)
    return 2
