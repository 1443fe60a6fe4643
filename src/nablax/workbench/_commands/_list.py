"""`nablax list`: what can be compared, and on what."""

from __future__ import annotations

import json

import click

from .. import _catalogue
from .._problems import PROBLEMS


@click.command("list", short_help="Name problems, optimizers and schedules.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(as_json: bool) -> None:
    """Name the problems, the optimizers and the schedules, with a line each.

    An optimizer's family is the file that holds its equations. Its state is given in bytes a parameter, for a float32
    layer of 512 x 512 with a bias.
    """
    problems = {name: shipped.summary for name, shipped in PROBLEMS.items()}
    optimizers = {name: _optimizer(name) for name in _catalogue.OPTIMIZERS}
    schedules = {name: _catalogue.describe_schedule(name) for name in _catalogue.SCHEDULES}
    if as_json:
        found = {"problems": problems, "optimizers": optimizers, "schedules": schedules}
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    width = max(map(len, (*problems, *optimizers, *schedules)))
    _table("Problems", problems, width)
    wide = max(len(o["family"]) for o in optimizers.values())
    shown = {
        name: f"{o['family']:{wide}}  {_bytes(o['state_bytes']):>6}  {o['summary']}"
        for name, o in optimizers.items()
    }
    click.secho(f"{'Optimizers':{width + 2}}  {'family':{wide}}  {'B/par.':>6}", bold=True)
    _table("", shown, width)
    _table("Schedules", schedules, width)


def _optimizer(name: str) -> dict:
    state = _catalogue.state_bytes(name)
    return {
        "family": _catalogue.family(name),
        "state_bytes": None if state is None else round(state, 2),
        "signature": _catalogue.signature(name),
        "summary": _catalogue.describe(name),
    }


def _bytes(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _table(title: str, rows: dict[str, str], width: int) -> None:
    if title:
        click.secho(title, bold=True)
    for name, line in rows.items():
        click.echo(f"  {name:{width}}  {line}")
