"""What a comparison leaves: the report's files, and the table in the terminal."""

from __future__ import annotations

import click
from rich.console import Console

from .._report import curves, page, png, sensitivity, table
from .._results import Comparison, Folder


def write(comparison: Comparison, folder: Folder, drawn: bool = True) -> None:
    """The results first: they are there even if Ctrl-C comes while the figures are drawn."""
    folder.write_results(comparison)
    if not drawn:
        return
    (folder.path / "curves.png").write_bytes(png(curves(comparison)))
    (folder.path / "sensitivity.png").write_bytes(png(sensitivity(comparison)))
    (folder.path / "report.html").write_text(page(comparison), encoding="utf-8")


def show(comparison: Comparison, folder: Folder, as_json: bool, drawn: bool = True) -> None:
    """A table, in colour where the output is a terminal; or the results as JSON."""
    if as_json:
        click.echo(comparison.to_json())
        return
    console = Console()
    table(comparison, console if console.is_terminal else Console(width=200))
    click.echo(f"\nreport: {folder.path / 'report.html'}" if drawn else f"\nresults: {folder.path}")
