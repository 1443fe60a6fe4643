"""`nablax report`: one page from the folders of one or more comparisons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from nablax.core import ArgumentError

from .._results import Folder, Settings, summarise
from .._running import Runs
from ._output import show, write


@click.command("report", short_help="One report from the folders of several comparisons.")
@click.argument("folders", nargs=-1, required=True, type=Path, metavar="DIR...")
@click.option(
    "--out", type=Path, metavar="DIR", help="Where the report goes.  [default: the folder, if it is one]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
def command(folders: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Write the report of the comparisons in DIR..., of one problem, as one.

    Runs of an optimizer that several folders hold are put together by their rates and seeds; where two are of one rate
    and seed, the first folder's counts.
    """
    if out is None and len(folders) > 1:
        raise ArgumentError("report: --out DIR is needed where several folders are put together.")
    settings, runs = _merged([Folder(path) for path in folders])
    failed = {
        label: why for path in folders for label, why in Folder(path).failed().items() if label not in runs
    }
    comparison = summarise(settings, runs.values(), failed)
    if not comparison.entries:
        raise ArgumentError(f"report: no optimizer has finished in {', '.join(map(str, folders))}.")
    target = Folder(out or folders[0])
    if out is not None and len(folders) > 1:
        if target.is_taken:
            raise ArgumentError(f"report: --out {out} holds a comparison already; name a new folder.")
        target.make()
        target.write_settings(settings)
        for found in runs.values():
            target.write_runs(found)
    target.path.mkdir(parents=True, exist_ok=True)
    write(comparison, target)
    show(comparison, target, as_json)


def _merged(folders: list[Folder]) -> tuple[Settings, dict[str, Runs]]:
    first = folders[0].settings()
    settings = first
    runs: dict[str, Runs] = {}
    for folder in folders:
        other = folder.settings()
        if words := other.differs(first):
            raise ArgumentError(
                f"report: {folder.path} is not of the comparison in {folders[0].path}: {words} differs."
            )
        settings = replace(
            settings,
            optimizers=list(dict.fromkeys([*settings.optimizers, *other.optimizers])),
            rates=sorted({*settings.rates, *other.rates}),
            seeds=max(settings.seeds, other.seeds),
        )
        for label, found in folder.runs().items():
            if label in runs and runs[label].steps != found.steps:
                raise ArgumentError(
                    f"report: {label} made {found.steps} steps a run in {folder.path}, {runs[label].steps} before: "
                    "what was measured in seconds at two times is not put together."
                )
            runs[label] = runs[label].joined(found) if label in runs else found
    return settings, runs
